rule ingest:
    input:
        **sources(),
        config=f"{RESULTS}/config/ingest.yaml",
    output:
        case=f"{RESULTS}/case.h5",
        summary=f"{RESULTS}/ingest.txt",
        picture=f"{RESULTS}/pictures/tracks.png",
    log:
        f"{RESULTS}/logs/ingest.log",
    benchmark:
        f"{RESULTS}/benchmarks/ingest.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        version=VERSION["ingest"],
    shell:
        "aiv-rba ingest --config {input.config} --case {output.case}"
        " --summary {output.summary} --picture {output.picture} 2>&1 | tee {log}"
