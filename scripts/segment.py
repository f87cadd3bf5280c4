"""Find the objects of one channel in every spot and measure them."""

from pathlib import Path

from gridwell.cells.instances import segment_channel
from gridwell.config.models import SegmentOptions
from gridwell.network.device import require_gpu
from job import running

if __name__ == "__main__":
    with running(snakemake):
        require_gpu(snakemake.params.gpu)
        segment_channel(
            Path(snakemake.input.spots),
            snakemake.wildcards.channel,
            labels_out=Path(snakemake.output.labels),
            instances_out=Path(snakemake.output.instances),
            options=SegmentOptions(**snakemake.params.options),
            threads=snakemake.threads,
            gpu=snakemake.params.gpu,
            precision=snakemake.params.precision,
            provenance=snakemake.params.provenance,
        )
