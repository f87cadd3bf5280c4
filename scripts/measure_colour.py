"""Measure the colour of every spot and turn it into a number."""

from pathlib import Path

from gridwell.colour.measure import measure_colour
from gridwell.config.layouts import read_layout
from gridwell.config.models import ColourOptions
from job import running

if __name__ == "__main__":
    with running(snakemake):
        layout = snakemake.params.layout
        measure_colour(
            Path(snakemake.input.spots),
            snakemake.params.channel,
            read_layout(Path("config/layouts", layout)) if layout else None,
            spots_out=Path(snakemake.output.spots),
            options=ColourOptions(**snakemake.params.options),
            slide=snakemake.wildcards.slide,
            provenance=snakemake.params.provenance,
        )
