"""Join all spots with their layouts, normalise, fit dose response, judge quality."""

from pathlib import Path

from gridwell.config.layouts import read_layouts
from gridwell.config.models import ScreenOptions, Slide
from gridwell.screen.run import screen_study
from job import running

if __name__ == "__main__":
    with running(snakemake):
        params = snakemake.params
        slides = [Slide(**slide) for slide in params.slides]
        names = [slide.slide for slide in slides]
        screen_study(
            slides,
            dict(zip(names, map(Path, snakemake.input.spots), strict=True)),
            {
                name: {
                    channel: Path("results", name, "instances", f"{channel}.parquet")
                    for channel in params.channels[name]
                }
                for name in names
            },
            read_layouts(
                Path("config/layouts"), {slide.layout for slide in slides if slide.layout}
            ),
            dict(zip(names, map(Path, snakemake.input.grids), strict=True)),
            options=ScreenOptions(**params.options),
            out_dir=Path(snakemake.output.spots).parent,
            roles=params.roles,
            threads=snakemake.threads,
            provenance=params.provenance,
        )
