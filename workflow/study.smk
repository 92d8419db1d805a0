# The study of residual-based attention on tracks: variants times seeds times twins. Plans and overlays
# are in workflow/config/study/. Cases and collocation points are made once for each twin, and runs
# have hard links to them.
import json
import sys
from pathlib import Path

from snakemake.utils import min_version

# Snakemake finds modules in the snakefile's folder; the studies are in the repository's.
sys.path.insert(0, str(Path(workflow.basedir).parent))
from studies.study import plan

min_version("9.0")


include: "rules/versions.smk"


STUDY = str(plan.FOLDER)
# Raised when the study notes other errors along a training, so that its runs are made again.
NOTED = 2


localrules:
    study_settings,
    study,


wildcard_constraints:
    twin="[a-z_]+",
    variant="[a-z_-]+",
    seed="[0-9]+",


rule study_settings:
    output:
        f"{STUDY}/{{folder}}/settings/{{stage}}.yaml",
    log:
        f"{STUDY}/{{folder}}/logs/settings_{{stage}}.log",
    wildcard_constraints:
        folder="(data|runs)/.+",
    conda:
        "../environment.yml"
    params:
        section=lambda wildcards: json.dumps(
            plan.section(wildcards.folder, wildcards.stage), sort_keys=True
        ),
    shell:
        "printf '%s\\n' {params.section:q} > {output} 2> {log}"


rule study_outliers:
    output:
        tracks=f"{STUDY}/data/{{twin}}/tracks.csv",
        truth=f"{STUDY}/data/{{twin}}/truth.h5",
    log:
        f"{STUDY}/data/{{twin}}/logs/outliers.log",
    wildcard_constraints:
        twin=f"[a-z_]+{plan.SPOILED}",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python -m studies.study.outliers {wildcards.twin} 2> {log}"


rule study_ingest:
    input:
        tracks=lambda wildcards: plan.experiment(wildcards.twin)["ingest"]["tracks"],
        wall=lambda wildcards: plan.experiment(wildcards.twin)["ingest"]["wall"],
        settings=f"{STUDY}/data/{{twin}}/settings/ingest.yaml",
    output:
        case=f"{STUDY}/data/{{twin}}/case.h5",
        picture=f"{STUDY}/data/{{twin}}/pictures/tracks.png",
    log:
        f"{STUDY}/data/{{twin}}/logs/ingest.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        folder=lambda wildcards, output: Path(output.case).parent,
        version=VERSION["ingest"],
    shell:
        "OMP_NUM_THREADS=1 aiv-rba ingest {params.folder}"


rule study_points:
    input:
        settings=f"{STUDY}/data/{{twin}}/settings/points.yaml",
        case=rules.study_ingest.output.case,
    output:
        points=f"{STUDY}/data/{{twin}}/points.h5",
        picture=f"{STUDY}/data/{{twin}}/pictures/groups.png",
    log:
        f"{STUDY}/data/{{twin}}/logs/points.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        folder=lambda wildcards, output: Path(output.points).parent,
        version=VERSION["points"],
    shell:
        "OMP_NUM_THREADS=1 aiv-rba points {params.folder}"


# An interrupted training goes on from its checkpoints, which are not outputs.
rule study_run:
    input:
        settings=f"{STUDY}/runs/{{twin}}/{{variant}}/seed_{{seed}}/settings/train.yaml",
        case=rules.study_ingest.output.case,
        points=rules.study_points.output.points,
        truth=lambda wildcards: plan.experiment(wildcards.twin)["score"]["truth"],
    output:
        model=f"{STUDY}/runs/{{twin}}/{{variant}}/seed_{{seed}}/model.pt",
        history=f"{STUDY}/runs/{{twin}}/{{variant}}/seed_{{seed}}/history.csv",
        measures=f"{STUDY}/runs/{{twin}}/{{variant}}/seed_{{seed}}/measures.json",
        multipliers=f"{STUDY}/runs/{{twin}}/{{variant}}/seed_{{seed}}/multipliers.npz",
    log:
        f"{STUDY}/runs/{{twin}}/{{variant}}/seed_{{seed}}/logs/run.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        folder=lambda wildcards, output: Path(output.model).parent,
        version=[VERSION["train"], VERSION["score"], NOTED],
    shell:
        "ln -f {input.case} {input.points} {params.folder} &&"
        " OMP_NUM_THREADS=1 python -m studies.study.run {params.folder} {input.truth} 2> {log}"


rule study_report:
    input:
        plan="workflow/config/study/plans/{plan}.yaml",
        measures=lambda wildcards: [
            run.measures for run in plan.runs_of(plan.load_plan(wildcards.plan))
        ],
    output:
        page=f"{STUDY}/{{plan}}/report.html",
        tables=directory(f"{STUDY}/{{plan}}/tables"),
        figures=directory(f"{STUDY}/{{plan}}/figures"),
    log:
        f"{STUDY}/{{plan}}/logs/report.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    shell:
        "OMP_NUM_THREADS=1 python -m studies.study.report {wildcards.plan} 2> {log}"


rule study:
    input:
        rules.study_report.output.page,
    output:
        touch(f"{STUDY}/{{plan}}/finished"),
    log:
        f"{STUDY}/{{plan}}/logs/finished.log",
    conda:
        "../environment.yml"
