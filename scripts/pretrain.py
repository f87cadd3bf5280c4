"""Train a network on simulated fields of cells, for `train` to go on from."""

from pathlib import Path

from gridwell.config.models import LearnModel
from gridwell.learn.dataset import Item
from gridwell.learn.examples import Example
from gridwell.learn.train import pretrain_network
from gridwell.phantom.fields import field
from job import running


def draw(kind: str, number: int, seed: int) -> Item:
    """Simulate a field; every seed of a study's network has fields of its own."""
    made = field(kind, 1_000_000 * (seed + 1) + number)
    image = made.image[None].astype("float32")
    example = Example(f"{kind}.{number}", f"{kind}.{number}", image, labels=made.labels)
    return Item(example, "train", "phantom")


if __name__ == "__main__":
    with running(snakemake):
        model = LearnModel(**snakemake.params.model, gpus=max(1, snakemake.resources.gpu))
        pretrain_network(
            (draw(model.pretrain, i, model.seed) for i in range(model.pretrain_fields)),
            Path(snakemake.output.weights),
            name=snakemake.wildcards.model,
            model=model,
            work=Path(snakemake.params.work),
            code=snakemake.params.code,
            policy=snakemake.params.gpu,
        )
