# Checkpoints are not outputs: Snakemake would remove them when the job fails.
# Every other rank keeps a log of its own in logs/ranks.
rule train:
    input:
        settings=results.settings("train"),
        case=rules.ingest.output.case,
        points=rules.points.output.points,
    output:
        model=results.model,
        deviations=results.deviations,
        history=results.history,
        record=results.record("train"),
    log:
        results.log("train"),
    benchmark:
        results.timing("train")
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folder=results.folder,
        version=VERSION["train"],
    shell:
        "OMP_NUM_THREADS=1 aiv-rba train {params.folder} --ranks {threads}"
