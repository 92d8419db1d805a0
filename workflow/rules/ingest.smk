rule ingest:
    input:
        **sources(),
        settings=results.settings("ingest"),
    output:
        case=results.case,
        summary=results.ingestion,
        picture=results.tracks_picture,
        record=results.record("ingest"),
    log:
        results.log("ingest"),
    benchmark:
        results.timing("ingest")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        folder=results.folder,
        version=VERSION["ingest"],
    shell:
        "aiv-rba ingest {params.folder}"
