rule points:
    input:
        config=f"{RESULTS}/config/points.yaml",
        case=rules.ingest.output.case,
    output:
        points=f"{RESULTS}/points.h5",
        picture=f"{RESULTS}/pictures/groups.png",
    log:
        f"{RESULTS}/logs/points.log",
    benchmark:
        f"{RESULTS}/benchmarks/points.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        version=VERSION["points"],
    # Open MPI refuses to run as root, as in a container, unless both variables are set. Within a
    # Slurm job it would start its processes by srun; those of this rule stay on their node.
    shell:
        "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1"
        " PRTE_MCA_ras=^slurm PRTE_MCA_plm=^slurm;"
        " mpiexec -n {threads} --oversubscribe"
        " aiv-rba points --config {input.config} --case {input.case}"
        " --points {output.points} --picture {output.picture} 2>&1 | tee {log}"
