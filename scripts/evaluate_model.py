"""Measure a network on the sources it never learned from, and write its card."""

from pathlib import Path

from gridwell.config.models import LearnModel
from gridwell.learn.evaluate import evaluate_network
from job import running

if __name__ == "__main__":
    with running(snakemake):
        evaluate_network(
            snakemake.wildcards.model,
            LearnModel(**snakemake.params.model),
            data=Path(snakemake.input.data),
            weights=Path(snakemake.input.weights),
            curve=Path(snakemake.input.curve),
            start=Path(snakemake.input.start[0]) if snakemake.input.start else None,
            scores=Path(snakemake.output.scores),
            card_out=Path(snakemake.output.card),
        )
