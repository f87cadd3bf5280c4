rule screen:
    """Join layouts, fit dose response, judge quality."""
    input:
        spots=expand("results/{slide}/spots.csv", slide=study.slides),
        provenance=expand(
            "results/{slide}/spots.csv.provenance.json", slide=study.slides
        ),
        grids=expand(rules.detect_grid.output.json, slide=study.slides),
        instances=get_all_instances,
        layouts=get_layouts,
    output:
        spots="results/screen/spots.csv",
        dose_response="results/screen/dose_response.csv",
        quality="results/screen/quality.csv",
        curves="results/screen/curves.csv",
        agents="results/screen/agents.csv",
        growth="results/screen/growth.csv",
        combinations="results/screen/combinations.csv",
        replicates="results/screen/replicates.csv",
        unmatched="results/screen/unmatched.csv",
        provenance="results/screen/provenance.json",
    log:
        "logs/screen/screen.log",
    conda:
        "../envs/cpu.yaml"
    threads: 4
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        slides=[slide.model_dump(mode="json") for slide in study.slides.values()],
        channels={slide: segmented(slide) for slide in study.slides},
        roles={
            slide: {channel.channel: channel.role.value for channel in own}
            for slide, own in study.channels.items()
        },
        options=options("screen"),
        provenance=screen_provenance(),
        code=code("screen"),
    script:
        "../scripts/screen.py"
