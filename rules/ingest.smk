rule ingest:
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
        ingested=lambda wildcards: ingested(wildcards.slide),
        max_gigapixels=study.config.ingest.max_gigapixels,
        code=code("ingest"),
    message:
        "Copying the raw images of {wildcards.slide} into the study, checking them on the way"
    script:
        "../scripts/ingest.py"
