rule report:
    input:
        settings=results.settings("report"),
        case=rules.ingest.output.case,
        points=rules.points.output.points,
        fields=[
            rules.fields.output.volume,
            rules.fields.output.wall,
            rules.fields.output.hydraulics,
        ],
        history=rules.train.output.history,
        scores=rules.score.output.scores,
        tracks=rules.ingest.output.picture,
        groups=rules.points.output.picture,
        records=[
            results.record(stage)
            for stage in ("ingest", "points", "train", "fields", "score")
        ],
    output:
        page=results.page,
        summary=results.summary,
        record=results.record("report"),
    log:
        results.log("report"),
    benchmark:
        results.timing("report")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        folder=results.folder,
        version=VERSION["report"],
    shell:
        "aiv-rba report {params.folder}"
