"""Write a raw slide as an OME-Zarr pyramid."""

from pathlib import Path

from gridwell.config.models import TileOptions
from gridwell.images.slide import write_slide
from job import running

if __name__ == "__main__":
    with running(snakemake):
        write_slide(
            Path(snakemake.input.slide).parent,
            Path(snakemake.output.slide),
            TileOptions(**snakemake.params.options),
        )
