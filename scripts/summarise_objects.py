"""Count the objects of each channel in every spot."""

from pathlib import Path

from gridwell.cells.objects import summarise_objects
from job import running

if __name__ == "__main__":
    with running(snakemake):
        channels = snakemake.params.channels
        summarise_objects(
            Path(snakemake.input.spots),
            dict(zip(channels, map(Path, snakemake.input.instances), strict=True)),
            dict(zip(channels, map(Path, snakemake.input.labels), strict=True)),
            spots_out=Path(snakemake.output.spots),
            min_cells=snakemake.params.min_cells,
            provenance=snakemake.params.provenance,
        )
