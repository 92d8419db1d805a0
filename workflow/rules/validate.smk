# Allen-Cahn and Helmholtz: methods and checks of a profile are in workflow/config/validation/. Every
# thread of a rule is a rank; the Slurm profile gives each of them a GPU.
rule reference:
    output:
        "results/benchmarks/allen_cahn_reference.h5",
    log:
        "results/benchmarks/logs/reference.log",
    benchmark:
        "results/benchmarks/benchmarks/reference.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        version=VERSION["benchmark"],
    shell:
        "OMP_NUM_THREADS=1 aiv-rba reference --out {output} 2>&1 | tee {log}"


rule validate_allen_cahn:
    input:
        config="workflow/config/validation/{profile}.yaml",
        reference=rules.reference.output,
    output:
        table="results/benchmarks/{profile}/allen_cahn/table.csv",
        page="results/benchmarks/{profile}/allen_cahn/report.html",
    log:
        "results/benchmarks/logs/{profile}_allen_cahn.log",
    benchmark:
        "results/benchmarks/benchmarks/{profile}_allen_cahn.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        out=lambda wildcards, output: Path(output.table).parent,
        version=VERSION["benchmark"],
    shell:
        "OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node {threads}"
        " -m aiv_rba.cli benchmark --problem allen_cahn --config {input.config}"
        " --reference {input.reference} --out {params.out} 2>&1 | tee {log}"


rule validate_helmholtz:
    input:
        config="workflow/config/validation/{profile}.yaml",
    output:
        table="results/benchmarks/{profile}/helmholtz/table.csv",
        page="results/benchmarks/{profile}/helmholtz/report.html",
    log:
        "results/benchmarks/logs/{profile}_helmholtz.log",
    benchmark:
        "results/benchmarks/benchmarks/{profile}_helmholtz.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        out=lambda wildcards, output: Path(output.table).parent,
        version=VERSION["benchmark"],
    shell:
        "OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node {threads}"
        " -m aiv_rba.cli benchmark --problem helmholtz --config {input.config}"
        " --out {params.out} 2>&1 | tee {log}"
