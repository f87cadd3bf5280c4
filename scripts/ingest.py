"""Bring the raw images of a slide into raw/<slide>/ and describe them in slide.json."""

from pathlib import Path

from gridwell.config.models import Channel, IngestOptions
from gridwell.images.delivery import note_delivery
from gridwell.images.ingest import ingest_slide
from job import running

if __name__ == "__main__":
    with running(snakemake):
        slide, delivery = snakemake.wildcards.slide, snakemake.params.delivery
        channels = [
            Channel(**channel, path=delivery["paths"][channel["channel"]])
            for channel in snakemake.params.channels
        ]
        ingest_slide(
            slide,
            channels,
            {name: Path(path) for name, path in delivery["sources"].items()},
            Path(snakemake.output.slide).parent,
            IngestOptions(**delivery["options"]),
        )
        landing = [Path(path) for path in delivery["paths"].values()]
        note_delivery(Path(), slide, landing)
