"""Write a slide as an OME-Zarr HCS plate for viewers, one well a spot."""

from pathlib import Path

from gridwell.images.plate import export_plate
from job import running

if __name__ == "__main__":
    with running(snakemake):
        labels = zip(snakemake.params.channels, map(Path, snakemake.input.labels), strict=True)
        export_plate(
            Path(snakemake.input.spots),
            dict(labels),
            Path(snakemake.output.plate),
            snakemake.params.ngff_version,
        )
