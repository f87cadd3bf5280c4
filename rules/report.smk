# What `snakemake --report` says before everything else.
report: "captions/workflow.rst"


rule report_slide:
    """Write the report of a slide."""
    input:
        spots=rules.crop_spots.output.spots,
        json=rules.detect_grid.output.json,
        csv=rules.detect_grid.output.csv,
        png=rules.detect_grid.output.png,
        table="results/{slide}/spots.csv",
        provenance="results/{slide}/spots.csv.provenance.json",
        labels=of_channels(rules.segment.output.labels),
        instances=of_channels(rules.segment.output.instances),
        layout=get_layout,
        slide=rules.ingest.output.slide,
        shifts=of_fused(rules.fuse.output.shifts),
        cells=of_fused(rules.fuse.output.cells),
    output:
        html=report(
            "results/{slide}/report.html",
            caption="captions/slide.rst",
            category="Slides",
            subcategory="{slide}",
            labels={"slide": "{slide}", "item": "report"},
        ),
    log:
        "logs/report_slide/{slide}.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(10, per_gpx=20),
    params:
        slide=lambda wildcards: study.slides[wildcards.slide].model_dump(mode="json"),
        channels=lambda wildcards: segmented(wildcards.slide),
        config=study.config.model_dump(mode="json", exclude={"ingest"}),
        provenance=provenance("report"),
        code=code("report_slide"),
    script:
        "../scripts/report_slide.py"


rule report_screen:
    """Write the report of the screen."""
    input:
        spots=rules.screen.output.spots,
        dose_response=rules.screen.output.dose_response,
        quality=rules.screen.output.quality,
        curves=rules.screen.output.curves,
        agents=rules.screen.output.agents,
        growth=rules.screen.output.growth,
        combinations=rules.screen.output.combinations,
        replicates=rules.screen.output.replicates,
        unmatched=rules.screen.output.unmatched,
        provenance=rules.screen.output.provenance,
    output:
        html=report(
            "results/screen/report.html",
            caption="captions/screen.rst",
            category="Screen",
            labels={"item": "report"},
        ),
    log:
        "logs/report_screen/screen.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(1500),
        runtime=minutes(15),
    params:
        slides=list(study.slides),
        config=study.config.model_dump(mode="json", exclude={"ingest"}),
        provenance=screen_provenance(report=True),
        code=code("report_screen"),
    script:
        "../scripts/report_screen.py"
