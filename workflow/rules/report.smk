rule report:
    input:
        **differences(),
        config=f"{RESULTS}/config/report.yaml",
        case=rules.ingest.output.case,
        points=rules.points.output.points,
        fields=rules.fields.output,
        history=rules.train.output.history,
        scores=rules.score.output.scores,
        tracks=rules.ingest.output.picture,
        groups=rules.points.output.picture,
    output:
        page=f"{RESULTS}/report.html",
        summary=f"{RESULTS}/summary.json",
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        fields=lambda wildcards, input: Path(input.fields[0]).parent,
        pictures=lambda wildcards, input: Path(input.tracks).parent,
        version=VERSION["report"],
    shell:
        "aiv-rba report --config {input.config} --case {input.case} --points {input.points}"
        " --fields {params.fields} --history {input.history} --scores {input.scores}"
        " --pictures {params.pictures} --page {output.page} --summary {output.summary}"
        " 2>&1 | tee {log}"
