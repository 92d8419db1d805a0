from snakemake.utils import min_version

min_version("9.0")


# `configfile:` would mix the bundled experiment's sections into an experiment given by --configfile.
if not config:

    configfile: "workflow/config/perivascular.yaml"


include: "workflow/rules/versions.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/settings.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/points.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/fields.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/validate.smk"


rule all:
    default_target: True
    input:
        results.page,
        results.summary,
        results.volume,
        results.wall,


rule validate:
    input:
        "results/validation/quick/finished",


# The profiles of the paper: for GPUs.
rule validate_paper:
    input:
        expand("results/validation/{profile}/finished", profile=["paper", "plain"]),
