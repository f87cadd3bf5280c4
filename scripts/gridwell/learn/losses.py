"""How wrong maps of cells are: distances by regression, classes by overlap and entropy.

Over the whole batch, wherever its parts are computed (`gridwell.learn.parallel`).
"""

from __future__ import annotations

import torch
from torch.nn import functional

from gridwell.learn.parallel import summed

Tensor = torch.Tensor

# Below this the error of a cell distance counts by its square, above by its size.
_SMOOTH = 0.2
# The neighbour distance is 0 almost everywhere. By its size alone its error is least where it is
# 0 throughout (a median); by its square, and where there is something the more, it is not.
_NEIGHBOUR, _NEIGHBOUR_HIGH = 2.0, 4.0


def distance_loss(maps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Error of the distances.

    Parameters
    ----------
    maps, target
        (n, 2, h, w): cell distance and neighbour distance.
    weight
        (n, h, w), 0 where nothing is known.

    Returns
    -------
    Mean over what is known; 0 where nothing is.
    """
    cell = functional.smooth_l1_loss(maps[:, 0], target[:, 0], reduction="none", beta=_SMOOTH)
    near = target[:, 1]
    neighbour = _NEIGHBOUR * (1 + _NEIGHBOUR_HIGH * near) * (maps[:, 1] - near) ** 2
    return _mean(cell + neighbour, weight)


def class_loss(logits: Tensor, classes: Tensor, weight: Tensor, *, entropy: float = 1.0) -> Tensor:
    """Generalised Dice and, in equal parts by default, cross-entropy.

    Parameters
    ----------
    logits
        (n, k, h, w).
    classes
        Class of each pixel, int64 (n, h, w); of pixels with weight 0 any.
    weight
        (n, h, w), 0 where nothing is known.
    entropy
        Factor of the cross-entropy; 0 for the generalised Dice alone.

    References
    ----------
    C. H. Sudre et al., DLMIA (2017) 240 (generalised Dice).
    """
    loss = generalised_dice(logits, classes, weight)
    if entropy:
        chosen = functional.cross_entropy(logits, classes, reduction="none")
        loss = loss + entropy * _mean(chosen, weight)
    return loss


def generalised_dice(logits: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """One less the overlap of all classes, rare classes as weighty as common ones.

    Summed over the batch. A class that is absent from it would weigh infinitely; it weighs as
    much as the weightiest that is there.

    Parameters
    ----------
    logits, classes, weight
        As of `class_loss`.
    """
    count = logits.shape[1]
    chance = torch.softmax(logits, 1) * weight[:, None]
    truth = functional.one_hot(classes, count).movedim(-1, 1) * weight[:, None]
    size = summed(truth.sum((0, 2, 3)))
    there = size > 0
    if not bool(there.any()):
        return 0.0 * logits.sum()
    rarity = 1 / size.clamp(min=1) ** 2
    rarity = torch.where(there, rarity, rarity[there].max())
    overlap = (rarity * summed((chance * truth).sum((0, 2, 3)))).sum()
    whole = (rarity * summed((chance + truth).sum((0, 2, 3)))).sum()
    return 1 - 2 * overlap / whole


def _mean(loss: Tensor, weight: Tensor) -> Tensor:
    return summed((loss * weight).sum()) / summed(weight.sum()).clamp(min=1.0)
