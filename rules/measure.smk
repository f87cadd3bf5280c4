rule fuse:
    """Match nuclei with live and dead bodies on a slide."""
    input:
        spots=rules.crop_spots.output.spots,
        labels=of_roles(rules.segment.output.labels),
        instances=of_roles(rules.segment.output.instances),
    output:
        cells="results/{slide}/cells.parquet",
        spots=report(
            "results/{slide}/spots.csv",
            caption="captions/spots.rst",
            category="Slides",
            subcategory="{slide}",
            labels={"slide": "{slide}", "item": "spots"},
        ),
        provenance="results/{slide}/spots.csv.provenance.json",
        shifts="results/{slide}/shifts.json",
    log:
        "logs/fuse/{slide}.log",
    benchmark:
        "benchmarks/fuse/{slide}.tsv"
    wildcard_constraints:
        slide=any_of(slides_of(Assay.VIABILITY)),
    conda:
        "../envs/cpu.yaml"
    threads: processes(2)
    resources:
        mem_mb=memory(1500, per_kpx=100),
        runtime=minutes(10, per_gpx=40),
    params:
        roles=[role.value for role in FUSED],
        options=options("fuse"),
        controls=of_slide(controls_of),
        provenance=provenance("spots"),
        code=code("fuse"),
    script:
        "../scripts/fuse.py"


rule summarise_objects:
    """Count the objects in each spot of a slide."""
    input:
        spots=rules.crop_spots.output.spots,
        labels=of_channels(rules.segment.output.labels),
        instances=of_channels(rules.segment.output.instances),
    output:
        spots=report(
            "results/{slide}/spots.csv",
            caption="captions/spots.rst",
            category="Slides",
            subcategory="{slide}",
            labels={"slide": "{slide}", "item": "spots"},
        ),
        provenance="results/{slide}/spots.csv.provenance.json",
    log:
        "logs/summarise_objects/{slide}.log",
    wildcard_constraints:
        slide=any_of(slides_of(Assay.OBJECTS)),
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(15),
    params:
        channels=lambda wildcards: segmented(wildcards.slide),
        min_cells=study.config.fuse.min_cells,
        provenance=provenance("spots"),
        code=code("summarise_objects"),
    script:
        "../scripts/summarise_objects.py"


rule measure_colour:
    """Measure the colour of each spot of a slide."""
    input:
        spots=rules.crop_spots.output.spots,
        slide=rules.tile.output.slide,
        layout=get_layout,
        calibration=get_calibration,
    output:
        spots=report(
            "results/{slide}/spots.csv",
            caption="captions/spots.rst",
            category="Slides",
            subcategory="{slide}",
            labels={"slide": "{slide}", "item": "spots"},
        ),
        provenance="results/{slide}/spots.csv.provenance.json",
        colours="results/{slide}/colours.parquet",
        calibration="results/{slide}/calibration.json",
    log:
        "logs/measure_colour/{slide}.log",
    wildcard_constraints:
        slide=any_of(slides_of(Assay.COLORIMETRY)),
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, per_kpx=100),
        runtime=minutes(10, per_gpx=40),
    params:
        channel=lambda wildcards: channel_of(wildcards.slide, Role.COLOUR),
        layout=lambda wildcards: study.slides[wildcards.slide].layout,
        options=options("colour"),
        provenance=provenance("spots"),
        code=code("measure_colour"),
    script:
        "../scripts/measure_colour.py"
