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
        spots=report(
            "results/screen/spots.csv",
            caption="captions/screen_spots.rst",
            category="Screen",
            labels={"item": "spots"},
        ),
        dose_response=report(
            "results/screen/dose_response.csv",
            caption="captions/dose_response.rst",
            category="Screen",
            labels={"item": "dose response"},
        ),
        quality=report(
            "results/screen/quality.csv",
            caption="captions/quality.rst",
            category="Screen",
            labels={"item": "quality"},
        ),
        curves="results/screen/curves.csv",
        agents=report(
            "results/screen/agents.csv",
            caption="captions/agents.rst",
            category="Screen",
            labels={"item": "agents"},
        ),
        growth=report(
            "results/screen/growth.csv",
            caption="captions/growth.rst",
            category="Screen",
            labels={"item": "growth"},
        ),
        combinations=report(
            "results/screen/combinations.csv",
            caption="captions/combinations.rst",
            category="Screen",
            labels={"item": "combinations"},
        ),
        replicates=report(
            "results/screen/replicates.csv",
            caption="captions/replicates.rst",
            category="Screen",
            labels={"item": "replicates"},
        ),
        unmatched=report(
            "results/screen/unmatched.csv",
            caption="captions/unmatched.rst",
            category="Screen",
            labels={"item": "layout against grid"},
        ),
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
