"""Match nuclei with live and dead bodies; decide each cell's state and each spot's viability."""

from pathlib import Path

from gridwell.cells.fuse import fuse_slide
from gridwell.config.models import FuseOptions
from job import running

if __name__ == "__main__":
    with running(snakemake):
        roles = snakemake.params.roles
        fuse_slide(
            Path(snakemake.input.spots),
            dict(zip(roles, map(Path, snakemake.input.instances), strict=True)),
            dict(zip(roles, map(Path, snakemake.input.labels), strict=True)),
            cells_out=Path(snakemake.output.cells),
            spots_out=Path(snakemake.output.spots),
            shifts_out=Path(snakemake.output.shifts),
            options=FuseOptions(**snakemake.params.options),
            controls=snakemake.params.controls,
            threads=snakemake.threads,
            provenance=snakemake.params.provenance,
        )
