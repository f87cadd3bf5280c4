rule detect_grid:
    """Find the grid of spots on a slide."""
    input:
        slide=rules.tile.output.slide,
        override=get_override,
        reference=get_reference,
    output:
        json="results/{slide}/grid.json",
        csv="results/{slide}/grid.csv",
        geojson="results/{slide}/grid.geojson",
        tables=directory("results/{slide}/tables.zarr"),
        png=report(
            "results/{slide}/grid.png",
            caption="captions/grid.rst",
            category="Slides",
            subcategory="{slide}",
            labels={"slide": "{slide}", "item": "grid"},
        ),
    log:
        "logs/detect_grid/{slide}.log",
    benchmark:
        "benchmarks/detect_grid/{slide}.tsv"
    conda:
        "../envs/gpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(15),
        gpu=GPUS,
    params:
        channel=lambda wildcards: channel_of(wildcards.slide, Role.GRID),
        carrier_name=lambda wildcards: study.slides[wildcards.slide].carrier,
        carrier=of_slide(carrier_of),
        override=of_slide(override_of),
        empty=of_slide(empty_spots_of),
        options=options("grid"),
        gpu=study.config.gpu,
        weights=hash_of_file(weights_path()),
        code=code("detect_grid"),
    script:
        "../scripts/detect_grid.py"
