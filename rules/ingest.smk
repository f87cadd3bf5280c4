localrules:
    ingest,


rule ingest:
    """Copy the raw images of a slide into the study, checking them on the way."""
    input:
        sources=get_sources,
    output:
        slide="raw/{slide}/slide.json",
    log:
        "logs/ingest/{slide}.log",
    benchmark:
        "benchmarks/ingest/{slide}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(600),
        runtime=minutes(30),
    params:
        channels=lambda wildcards: [
            channel.model_dump(mode="json")
            for channel in study.channels[wildcards.slide]
        ],
        copies=get_copies,
        max_gigapixels=study.config.ingest.max_gigapixels,
        code=code("ingest"),
    script:
        "../scripts/ingest.py"
