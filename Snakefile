from snakemake.utils import min_version, validate

min_version("9.0")


# `configfile:` would mix the default's sections into an experiment given by --configfile.
if not config:

    configfile: "workflow/config/default.yaml"


# The package fills in the defaults: Snakemake would mix those of alternative optimisers.
validate(config, "workflow/schemas/experiment.schema.json", set_default=False)


include: "workflow/rules/common.smk"
include: "workflow/rules/config.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/points.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/fields.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/validate.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        f"{RESULTS}/summary.json",
        f"{RESULTS}/fields/volume.pvd",
        f"{RESULTS}/fields/wall.pvd",


rule validate:
    input:
        "results/validation/quick/finished",


# The profiles of the paper: for GPUs.
rule validate_paper:
    input:
        expand("results/validation/{profile}/finished", profile=["paper", "plain"]),
