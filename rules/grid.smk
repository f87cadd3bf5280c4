def get_override_values(wildcards):
    override = study.overrides.get(wildcards.slide)
    return override.model_dump(mode="json") if override else None


def get_carrier(wildcards):
    name = study.slides[wildcards.slide].carrier
    return study.carriers[name].model_dump(mode="json") if name else None


rule detect_grid:
    input:
        slide=rules.tile.output.slide,
        override=get_override,
    output:
        json="results/{slide}/grid.json",
        csv="results/{slide}/grid.csv",
        geojson="results/{slide}/grid.geojson",
        png=report(
            "results/{slide}/grid.png", category="Grids", labels={"slide": "{slide}"}
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
        carrier=get_carrier,
        override=get_override_values,
        options=options("grid"),
        gpu=study.config.gpu,
        code=code("detect_grid"),
    message:
        "Finding the grid of spots on {wildcards.slide}"
    script:
        "../scripts/detect_grid.py"
