"""Measure the colour of every spot and turn it into a number."""

from pathlib import Path

from gridwell.colour.measure import measure_colour
from gridwell.config.layouts import read_layout
from gridwell.config.models import ColourOptions
from job import running

if __name__ == "__main__":
    with running(snakemake):
        given, made, layout = snakemake.input, snakemake.output, snakemake.params.layout
        layout_path = Path("config/layouts", layout) if layout else None
        measure_colour(
            Path(given.spots),
            Path(given.slide),
            snakemake.params.channel,
            read_layout(layout_path) if layout_path else None,
            spots_out=Path(made.spots),
            colours_out=Path(made.colours),
            calibration_out=Path(made.calibration),
            options=ColourOptions(**snakemake.params.options),
            slide=snakemake.wildcards.slide,
            layout_name=str(layout_path),
            provenance=snakemake.params.provenance,
        )
