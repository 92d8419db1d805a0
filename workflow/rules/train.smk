# Checkpoints are not outputs: Snakemake would remove them when the job fails.
# Every other rank keeps a log of its own in logs/ranks. A rank for each GPU, or else for each thread;
# where a Slurm profile asks for several tasks, a rank for each of them, with so many threads.
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
        nodes=1,
        tasks_per_node=1,
    params:
        folder=results.folder,
        version=VERSION["train"],
    shell:
        "if [ $(({resources.nodes} * {resources.tasks_per_node})) = 1 ]; then"
        " OMP_NUM_THREADS=1 aiv-rba train {params.folder} --ranks auto --cores {threads};"
        " else OMP_NUM_THREADS={threads} srun --wait=60 --nodes={resources.nodes}"
        " --ntasks-per-node={resources.tasks_per_node} --cpus-per-task={threads}"
        " aiv-rba train {params.folder}; fi"
