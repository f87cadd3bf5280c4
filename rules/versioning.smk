localrules:
    version_raw,


rule version_raw:
    """Write down which version of the raw images of a slide is used."""
    input:
        slide=rules.ingest.output.slide,
    output:
        version="results/{slide}/version.json",
    log:
        "logs/version_raw/{slide}.log",
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=minutes(30),
        commit=1,
    params:
        versioning=study.config.versioning,
        code=code("version_raw"),
    script:
        "../scripts/version_raw.py"
