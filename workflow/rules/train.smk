# Checkpoints are not outputs: Snakemake would remove them when the job fails.
# Every rank also keeps a log of its own in logs/ranks.
rule train:
    input:
        config=f"{RESULTS}/config/train.yaml",
        case=rules.ingest.output.case,
        points=rules.points.output.points,
    output:
        model=f"{RESULTS}/model.pt",
        history=f"{RESULTS}/history.csv",
    log:
        f"{RESULTS}/logs/train.log",
    benchmark:
        f"{RESULTS}/benchmarks/train.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        checkpoints=f"{RESULTS}/checkpoints",
        ranks=f"{RESULTS}/logs/ranks",
        version=VERSION["train"],
    shell:
        "OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node {threads}"
        " --log-dir {params.ranks} --tee 3"
        " -m aiv_rba.cli train --config {input.config} --case {input.case}"
        " --points {input.points} --model {output.model} --history {output.history}"
        " --checkpoints {params.checkpoints} 2>&1 | tee {log}"
