# The study of residual-based attention on tracks: variants times seeds times twins. Plans and overlays
# are in workflow/config/study/. Cases and collocation points are made once for each twin, and runs
# have hard links to them. A job trains a variant on a twin with all seeds of the plan. Runs belong to
# no plan, and a job knows which of its own are finished, so it leaves a mark in the plan's folder only.
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
    plan="[a-z_]+",


rule study_settings:
    output:
        f"{STUDY}/data/{{twin}}/settings/{{stage}}.yaml",
    log:
        f"{STUDY}/data/{{twin}}/logs/settings_{{stage}}.log",
    conda:
        "../environment.yml"
    params:
        section=lambda wildcards: json.dumps(
            plan.section(wildcards.twin, wildcards.stage), sort_keys=True
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


# An interrupted training goes on from its checkpoints, which are no outputs, as the runs are not.
rule study_runs:
    input:
        case=rules.study_ingest.output.case,
        points=rules.study_points.output.points,
        truth=lambda wildcards: plan.experiment(wildcards.twin)["score"]["truth"],
    output:
        touch(f"{STUDY}/{{plan}}/measured/{{twin}}/{{variant}}"),
    log:
        f"{STUDY}/{{plan}}/logs/{{twin}}/{{variant}}.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        seeds=lambda wildcards: plan.seeds_of(plan.load_plan(wildcards.plan))[
            wildcards.twin, wildcards.variant
        ],
        settings=lambda wildcards: json.dumps(
            plan.Run(wildcards.twin, wildcards.variant, 0).settings(), sort_keys=True
        ),
        versions=[VERSION["train"], VERSION["score"], NOTED],
    shell:
        "OMP_NUM_THREADS=1 python -m studies.study.run {wildcards.twin} {wildcards.variant}"
        " --seeds {params.seeds} --versions {params.versions} 2> {log}"


rule study_report:
    input:
        plan="workflow/config/study/plans/{plan}.yaml",
        measured=lambda wildcards: [
            f"{STUDY}/{wildcards.plan}/measured/{twin}/{variant}"
            for twin, variant in plan.seeds_of(plan.load_plan(wildcards.plan))
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
