localrules:
    stage_config,


# Each stage reads its own section, so changing one section reruns that stage and what follows.
rule stage_config:
    output:
        f"{RESULTS}/config/{{stage}}.yaml",
    log:
        f"{RESULTS}/logs/config_{{stage}}.log",
    conda:
        "../../environment.yml"
    params:
        section=lambda wildcards: json.dumps(
            {wildcards.stage: config.get(wildcards.stage, {})}, sort_keys=True
        ),
    shell:
        "printf '%s\\n' {params.section:q} > {output} 2> {log}"
