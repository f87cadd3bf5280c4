def of_channels(output):
    """Input function: one segmentation output for every segmented channel of the slide."""

    def get_files(wildcards):
        return expand(output, slide=wildcards.slide, channel=segmented(wildcards.slide))

    return get_files


def of_roles(output):
    """Input function: one segmentation output for each of nuclei, live, dead, in this order."""

    def get_files(wildcards):
        channels = [channel_of(wildcards.slide, role) for role in FUSED]
        return expand(output, slide=wildcards.slide, channel=channels)

    return get_files


FUSED = (Role.NUCLEI, Role.LIVE, Role.DEAD)


rule fuse:
    input:
        spots=rules.crop_spots.output.spots,
        labels=of_roles(rules.segment.output.labels),
        instances=of_roles(rules.segment.output.instances),
    output:
        cells="results/{slide}/cells.parquet",
        spots="results/{slide}/spots.csv",
        shifts="results/{slide}/shifts.json",
    log:
        "logs/fuse/{slide}.log",
    benchmark:
        "benchmarks/fuse/{slide}.tsv"
    wildcard_constraints:
        slide=any_of(slides_of(Assay.VIABILITY)),
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500, per_kpx=100),
        runtime=minutes(30),
    params:
        roles=[role.value for role in FUSED],
        options=options("fuse"),
        code=code("fuse"),
    message:
        "Matching nuclei with live and dead bodies on {wildcards.slide}"
    script:
        "../scripts/fuse.py"


rule summarise_objects:
    input:
        spots=rules.crop_spots.output.spots,
        labels=of_channels(rules.segment.output.labels),
        instances=of_channels(rules.segment.output.instances),
    output:
        spots="results/{slide}/spots.csv",
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
        code=code("summarise_objects"),
    message:
        "Counting the objects in each spot of {wildcards.slide}"
    script:
        "../scripts/summarise_objects.py"


rule measure_colour:
    input:
        spots=rules.crop_spots.output.spots,
        layout=get_layout,
    output:
        spots="results/{slide}/spots.csv",
    log:
        "logs/measure_colour/{slide}.log",
    wildcard_constraints:
        slide=any_of(slides_of(Assay.COLORIMETRY)),
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000, per_kpx=100),
        runtime=minutes(15),
    params:
        channel=lambda wildcards: channel_of(wildcards.slide, Role.COLOUR),
        options=options("colour"),
        code=code("measure_colour"),
    message:
        "Measuring the colour of each spot of {wildcards.slide}"
    script:
        "../scripts/measure_colour.py"
