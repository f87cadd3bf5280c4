"""Named targets: stop after a stage, or compute everything without recording it."""


localrules:
    grids,
    segmentations,
    slides,
    analysis,
    version_results,


rule grids:
    input:
        expand(rules.detect_grid.output.png, slide=study.slides),


rule segmentations:
    input:
        get_all_instances,


rule slides:
    input:
        get_slide_results,


rule analysis:
    input:
        get_results,


rule version_results:
    """Record what was computed from what."""
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
        command=lambda wildcards, output: rerun_command(),
        repository=lambda wildcards, output: str(REPOSITORY),
        code=code("version_results"),
    script:
        "../scripts/version_results.py"
