rule tile:
    """Tile a slide into an OME-Zarr pyramid."""
    input:
        slide=rules.ingest.output.slide,
        version=rules.version_raw.output.version,
    output:
        slide=directory("work/{slide}/slide.zarr"),
    log:
        "logs/tile/{slide}.log",
    benchmark:
        "benchmarks/tile/{slide}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(600, per_kpx=40),
        runtime=minutes(10, per_gpx=60),
    params:
        options=options("tile"),
        code=code("tile"),
    script:
        "../scripts/tile.py"
