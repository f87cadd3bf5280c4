"""Copy the raw images of a slide into raw/<slide>/ and describe them in slide.json."""

from pathlib import Path

from gridwell.config.models import Channel
from gridwell.images.ingest import ingest_slide
from job import running

if __name__ == "__main__":
    with running(snakemake):
        channels = [Channel(**channel) for channel in snakemake.params.channels]
        raw = Path(snakemake.output.slide).parent
        sources = {channel.channel: Path(channel.path) for channel in channels}
        if not all(source.exists() for source in sources.values()):
            # The landing folder was cleared after an earlier run: take the copies in place.
            sources = {name: raw / file for name, file in snakemake.params.ingested.items()}
        ingest_slide(
            snakemake.wildcards.slide,
            channels,
            sources,
            raw,
            max_gigapixels=snakemake.params.max_gigapixels,
        )
