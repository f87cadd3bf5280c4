"""Train a network on its data set; a training that was killed goes on where it was."""

from pathlib import Path

from gridwell.config.models import LearnModel
from gridwell.learn.train import train_network
from job import running

if __name__ == "__main__":
    with running(snakemake):
        train_network(
            snakemake.wildcards.model,
            LearnModel(**snakemake.params.model, gpus=max(1, snakemake.resources.gpu)),
            data=Path(snakemake.input.data),
            weights=Path(snakemake.output.weights),
            curve=Path(snakemake.output.curve),
            picture=Path(snakemake.output.picture),
            start=Path(snakemake.input.start[0]) if snakemake.input.start else None,
            work=Path(snakemake.params.work),
            code=snakemake.params.code,
            policy=snakemake.params.gpu,
        )
