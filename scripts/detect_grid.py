"""Find the grid of spots on a low-resolution level of the slide."""

from pathlib import Path

from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.grid.model import read_grid
from gridwell.grid.slide import detect_on_slide
from gridwell.network.device import require_gpu
from job import running

if __name__ == "__main__":
    with running(snakemake):
        params, reference = snakemake.params, snakemake.input.reference
        require_gpu(params.gpu)  # also of a slide whose grid needs no network
        detect_on_slide(
            Path(snakemake.input.slide),
            params.channel,
            out_dir=Path(snakemake.output.json).parent,
            options=GridOptions(**params.options),
            carrier=Carrier(**params.carrier) if params.carrier else None,
            carrier_name=params.carrier_name,
            override=GridOverride(**params.override) if params.override else None,
            empty=params.empty,
            reference=read_grid(*map(Path, reference)) if reference else None,
            gpu=params.gpu,
        )
