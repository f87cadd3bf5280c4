"""The model card of the network that finds elements."""

from __future__ import annotations

import hashlib
import textwrap
from pathlib import Path

from gridwell.learn.grid_evaluate import NEAR, THRESHOLD, Score, table
from gridwell.learn.grid_train import Recipe

Scores = list[tuple[str, Score]]

# No image is trained on and measured on: their seeds lie far apart.
HELD_OUT = 10_000_000
HELD_OUT_IMAGES = 40

_WHAT = """\
Finds the elements of a grid (spots, wells, colonies, cores) on a gray image: one map with a peak
at each centre, one with the share of foreground, both at half the resolution that the network is
shown. Written by `scripts/train_grid.py`; do not edit."""

_NETWORK = """\
## Network

U-Net of four levels ({widths} channels), the first at half resolution; batch normalisation folded
into the convolutions; every output sees about 300 pixels. Input: one channel, the local contrast
of the image in windows of 40 pixels, in four sizes (longer side 1024, 512, 256, 128 pixels), of
which one has spots 8 to 40 pixels apart."""

_RECIPE = """\
## Data and recipe

{data} (`gridwell.phantom.grids`, `gridwell.phantom.grid_images`): four levels of difficulty and
images without a grid, each in a random size. Turned, mirrored, inverted, with changed contrast,
response, light, blur and noise. {steps} batches of {batch}, AdamW, cosine from {rate:g}, running
mean of the weights, seed {seed}, one CPU core{start}. Loss: quality focal loss of the centres,
cross-entropy and Dice of the foreground."""

_MEASURED = """\
## How good it is

Peaks of at least {threshold} against true centres; right is one within {near} spacings, one to
one, in the size whose spacing is nearest 16 pixels. Before any lattice: what is missed or false
here the lattice stage still mends. Simulated images: {images} of a kind, with seeds never trained
on; on those without a grid, every peak is wrong."""

_REAL = """\
Real images, never trained on, elements marked by hand or by the authors' own tools (of plates with
faint colonies not all are marked, of torn tissue not all are cores):"""

_LIMITS = """\
## Limits

Spots closer than about 7 pixels or wider apart than about 55 are not known in that size of the
image; of carriers with very few elements (2 x 3) the neighbours say little. Elements much fainter
than the noise are missed, and of crowded things without a lattice many are taken for elements. A
peak is a suggestion: rows, columns and doubt are the lattice stage's."""


def card(
    weights: Path,
    recipe: Recipe,
    *,
    data: str,
    start: Path | None,
    note: str,
    phantoms: Scores,
    known: Scores,
) -> str:
    """Write in Markdown what weights are, how they were made and how good they are.

    Parameters
    ----------
    weights
        The file described.
    recipe
        How it was trained.
    data
        What it was trained on, in words.
    start
        Weights that the training went on from, if any.
    note
        What else is to be known of how they were made; may be empty.
    phantoms, known
        Scores on held-out simulated images and on real ones.
    """
    content = weights.read_bytes()
    went_on = (
        f", going on from the weights with sha256 `{_hash(start.read_bytes())}`" if start else ""
    )
    facts = [
        f"- file: `{weights.name}`, {len(content) / 1e6:.2f} MB, half precision",
        f"- sha256: `{_hash(content)}`",
        "- licence: MIT, as all of gridwell; no image of others was trained on",
    ]
    parts = [
        f"# {weights.stem}",
        _WHAT,
        "\n".join(facts),
        _NETWORK.format(widths="-".join(str(width) for width in recipe.widths)),
        _RECIPE.format(
            data=data,
            steps=recipe.steps,
            batch=recipe.batch,
            rate=recipe.rate,
            seed=recipe.seed,
            start=went_on,
        ),
        *([note] if note else []),
        _MEASURED.format(threshold=THRESHOLD, near=NEAR, images=HELD_OUT_IMAGES),
        table(phantoms),
        *([_REAL, table(known)] if known else []),
        _LIMITS,
    ]
    return "\n\n".join(_wrapped(part) for part in parts) + "\n"


def _wrapped(part: str) -> str:
    """Break the lines of a part's paragraphs; headings, lists and tables stay."""
    paragraphs = part.split("\n\n")
    return "\n\n".join(p if p[0] in "#-|" else textwrap.fill(p, 100) for p in paragraphs)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
