rule points:
    input:
        settings=results.settings("points"),
        case=rules.ingest.output.case,
    output:
        points=results.points,
        picture=results.groups_picture,
        record=results.record("points"),
    log:
        results.log("points"),
    benchmark:
        results.timing("points")
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        folder=results.folder,
        version=VERSION["points"],
    # Open MPI refuses to run as root, as in a container, unless both variables are set. Within a
    # Slurm job it would start its processes by srun; those of this rule stay on their node.
    shell:
        "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1"
        " PRTE_MCA_ras=^slurm PRTE_MCA_plm=^slurm;"
        " mpiexec -n {threads} --oversubscribe aiv-rba points {params.folder}"
