localrules:
    ingest,


rule ingest:
    """Bring the raw images of a slide into the study, checking them on the way."""
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
            channel.model_dump(mode="json", exclude={"path"})
            for channel in study.channels[wildcards.slide]
        ],
        replaced=get_replaced,
        delivery=get_delivery,
        code=code("ingest"),
    script:
        "../scripts/ingest.py"
