rule segment:
    """Find the objects in one channel of a slide."""
    input:
        spots=rules.crop_spots.output.spots,
        weights=get_weights,
    output:
        labels=directory("results/{slide}/labels/{channel}.zarr"),
        instances="results/{slide}/instances/{channel}.parquet",
    log:
        "logs/segment/{slide}.{channel}.log",
    benchmark:
        "benchmarks/segment/{slide}.{channel}.tsv"
    conda:
        "../envs/gpu.yaml"
    threads: processes(2)
    resources:
        mem_mb=memory(2000, per_kpx=60),
        runtime=minutes(15, per_gpx=100),
        gpu=GPUS,
    params:
        options=options("segment"),
        gpu=study.config.gpu,
        precision=study.config.precision,
        weights=get_shipped_weights,
        provenance=provenance("segment"),
        code=code("segment"),
    script:
        "../scripts/segment.py"
