# Methods on problems with known solutions; methods and checks of a profile are in
# workflow/config/validation/. Every thread of this rule is a rank; the Slurm profile gives each of
# them a GPU.
rule validate_problem:
    input:
        config=f"{PROFILES}/{{profile}}.yaml",
    output:
        table="results/validation/{profile}/{problem}/table.csv",
        page="results/validation/{profile}/{problem}/report.html",
    log:
        "results/validation/logs/{profile}_{problem}.log",
    benchmark:
        "results/validation/timings/{profile}_{problem}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        out=lambda wildcards, output: Path(output.table).parent,
        version=VERSION["validation"],
    shell:
        "OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node {threads}"
        " -m aiv_rba.cli validate --problem {wildcards.problem} --config {input.config}"
        " --out {params.out} 2>&1 | tee {log}"


# All problems for which a profile has a section.
rule validate_profile:
    input:
        pages,
    output:
        touch("results/validation/{profile}/finished"),
    log:
        "results/validation/logs/{profile}.log",
    conda:
        "../../environment.yml"
