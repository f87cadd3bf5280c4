"""Save raw/<slide>/ in the study's history and write which version that is."""

from pathlib import Path

from gridwell.versions.dataset import version_raw
from job import running

if __name__ == "__main__":
    with running(snakemake):
        version_raw(
            Path.cwd(),
            snakemake.wildcards.slide,
            versioning=snakemake.params.versioning,
            out=Path(snakemake.output.version),
        )
