"""Measure the colour of every spot and turn it into a number."""

from pathlib import Path

from gridwell.colour.measure import measure_colour
from gridwell.config.layouts import read_layout
from gridwell.config.models import ColourOptions
from job import running

if __name__ == "__main__":
    with running(snakemake):
        layouts = [read_layout(Path(path)) for path in snakemake.input.layout]
        measure_colour(
            Path(snakemake.input.spots),
            snakemake.params.channel,
            layouts[0] if layouts else None,
            spots_out=Path(snakemake.output.spots),
            options=ColourOptions(**snakemake.params.options),
            slide=snakemake.wildcards.slide,
        )
