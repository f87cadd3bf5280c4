rule crop_spots:
    """Cut the spots out of a slide."""
    input:
        slide=rules.tile.output.slide,
        json=rules.detect_grid.output.json,
        csv=rules.detect_grid.output.csv,
    output:
        spots=directory("work/{slide}/spots.zarr"),
    log:
        "logs/crop_spots/{slide}.log",
    benchmark:
        "benchmarks/crop_spots/{slide}.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: processes(2)
    resources:
        mem_mb=memory(800, per_kpx=60),
        runtime=minutes(10, per_gpx=40),
    params:
        margin=study.config.spots.margin,
        code=code("crop_spots"),
    script:
        "../scripts/crop_spots.py"


rule export_plate:
    """Write a slide as an OME-Zarr plate, one well a spot."""
    input:
        spots=rules.crop_spots.output.spots,
        labels=lambda wildcards: expand(
            rules.segment.output.labels,
            channel=segmented(wildcards.slide),
            allow_missing=True,
        ),
    output:
        plate=directory("results/{slide}/plate.zarr"),
    log:
        "logs/export_plate/{slide}.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10, per_gpx=100),
    params:
        channels=lambda wildcards: segmented(wildcards.slide),
        ngff_version=study.config.tile.ngff_version,
        code=code("export_plate"),
    script:
        "../scripts/export_plate.py"
