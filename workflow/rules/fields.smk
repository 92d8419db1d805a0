rule fields:
    input:
        config=f"{RESULTS}/config/fields.yaml",
        case=rules.ingest.output.case,
        model=rules.train.output.model,
    output:
        volume=f"{RESULTS}/fields/volume.pvd",
        wall=f"{RESULTS}/fields/wall.pvd",
        hydraulics=f"{RESULTS}/fields/hydraulics.csv",
        paraview=f"{RESULTS}/fields/open_in_paraview.py",
    log:
        f"{RESULTS}/logs/fields.log",
    benchmark:
        f"{RESULTS}/benchmarks/fields.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        out=lambda wildcards, output: Path(output.volume).parent,
        version=VERSION["fields"],
    shell:
        "aiv-rba fields --config {input.config} --case {input.case} --model {input.model}"
        " --out {params.out} 2>&1 | tee {log}"


rule score:
    input:
        config=f"{RESULTS}/config/score.yaml",
        case=rules.ingest.output.case,
        model=rules.train.output.model,
        truth=truth(),
    output:
        **differences(),
        scores=f"{RESULTS}/scores.json",
    log:
        f"{RESULTS}/logs/score.log",
    benchmark:
        f"{RESULTS}/benchmarks/score.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        version=VERSION["score"],
    shell:
        "aiv-rba score --config {input.config} --case {input.case} --model {input.model}"
        " --scores {output.scores} 2>&1 | tee {log}"
