localrules:
    stage_settings,


# Each stage reads its own section, so changing one section reruns that stage and what follows.
rule stage_settings:
    output:
        results.settings("{stage}"),
    log:
        results.log("settings_{stage}"),
    conda:
        "../../environment.yml"
    params:
        section=lambda wildcards: json.dumps(
            {wildcards.stage: config.get(wildcards.stage, {})}, sort_keys=True
        ),
    shell:
        "printf '%s\\n' {params.section:q} > {output} 2> {log}"
