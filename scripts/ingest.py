"""Copy the raw images of a slide into raw/<slide>/ and describe them in slide.json."""

from pathlib import Path

from gridwell.config.models import Channel
from gridwell.images.ingest import ingest_slide
from job import running

if __name__ == "__main__":
    with running(snakemake):
        channels = [Channel(**channel) for channel in snakemake.params.channels]
        raw = Path(snakemake.output.slide).parent
        # Where the landing folder was cleared after an earlier run, the copies are taken in place.
        copies = snakemake.params.copies
        sources = {
            channel.channel: raw / copies[channel.channel] if copies else Path(channel.path)
            for channel in channels
        }
        ingest_slide(
            snakemake.wildcards.slide,
            channels,
            sources,
            raw,
            max_gigapixels=snakemake.params.max_gigapixels,
        )
