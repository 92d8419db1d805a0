rule fields:
    input:
        settings=results.settings("fields"),
        case=rules.ingest.output.case,
        model=rules.train.output.model,
        deviations=rules.train.output.deviations,
    output:
        volume=results.volume,
        wall=results.wall,
        hydraulics=results.hydraulics,
        paraview=results.paraview,
        record=results.record("fields"),
    log:
        results.log("fields"),
    benchmark:
        results.timing("fields")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        folder=results.folder,
        version=VERSION["fields"],
    shell:
        "aiv-rba fields {params.folder}"


rule score:
    input:
        settings=results.settings("score"),
        case=rules.ingest.output.case,
        model=rules.train.output.model,
        deviations=rules.train.output.deviations,
        truth=truth(),
    output:
        **differences(),
        scores=results.scores,
        suspicious_rows=results.suspicious_rows,
        suspicious_tracks=results.suspicious_tracks,
        record=results.record("score"),
    log:
        results.log("score"),
    benchmark:
        results.timing("score")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        folder=results.folder,
        version=VERSION["score"],
    shell:
        "aiv-rba score {params.folder}"
