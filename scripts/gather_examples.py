"""Gather what a network learns from: spots with a teacher's labels, corrected ones, or a folder."""

from pathlib import Path

from gridwell.config.models import LearnModel
from gridwell.learn.dataset import sides_of
from gridwell.learn.gather import gather_examples
from job import running

if __name__ == "__main__":
    with running(snakemake):
        params = snakemake.params
        gather_examples(
            Path(snakemake.output.data),
            LearnModel(**params.model),
            spots=dict(zip(params.slides, map(Path, snakemake.input.spots), strict=True)),
            labelled=Path(params.labelled) if params.labelled else None,
            known=sides_of(map(Path, snakemake.input.known)),
        )
