"""Named targets: stop after a stage, or compute everything without recording it."""


localrules:
    grids,
    segmentations,
    analysis,
    version_results,


def get_results(wildcards):
    """Every file of the results that is worth recording, version.json left out: it names a commit."""
    per_slide = [
        "grid.json",
        "grid.csv",
        "grid.geojson",
        "grid.png",
        "spots.csv",
        "report.html",
    ]
    files = [f"results/{slide}/{name}" for slide in study.slides for name in per_slide]
    for slide in slides_of(Assay.VIABILITY):
        files += [f"results/{slide}/cells.parquet", f"results/{slide}/shifts.json"]
    for slide in study.slides:
        for channel in segmented(slide):
            files += [
                f"results/{slide}/labels/{channel}.zarr",
                f"results/{slide}/instances/{channel}.parquet",
            ]
        if study.config.export == "plate":
            files.append(f"results/{slide}/plate.zarr")
    return [*files, *rules.screen.output, *rules.report_screen.output]


rule grids:
    input:
        expand(rules.detect_grid.output.png, slide=study.slides),


rule segmentations:
    input:
        get_all_instances,


rule analysis:
    input:
        get_results,


rule version_results:
    input:
        results=get_results,
        raw=expand(rules.version_raw.output.version, slide=study.slides),
    output:
        record="results/record.json",
    log:
        "logs/version_results/record.log",
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=minutes(60),
        commit=1,
    params:
        versioning=study.config.versioning,
        code=code("version_results"),
    message:
        "Recording what was computed from what"
    script:
        "../scripts/version_results.py"
