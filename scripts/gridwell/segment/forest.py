"""A random forest as arrays: read without running anything, computed without scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridwell.images.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Forest:
    """Trees that tell how likely a pixel is one of an object.

    Attributes
    ----------
    roots
        First node of each tree, int32 (t,).
    left, right
        Nodes that follow a node, int32 (n,); -1 in a leaf.
    feature, threshold
        Left is taken where this feature is at most the threshold, int32 and float64 (n,).
    chance
        Part of objects among the training pixels in the node, float64 (n,).
    """

    roots: Array
    left: Array
    right: Array
    feature: Array
    threshold: Array
    chance: Array

    def predict(self, values: Array) -> Array:
        """Mean chance over all trees, float64 (m,), of float32 features (m, f)."""
        arrays = (self.roots, self.left, self.right, self.feature, self.threshold, self.chance)
        return np.asarray(_walk(np.ascontiguousarray(values, np.float32), *arrays))

    def check(self, features: int) -> None:
        """Raise ValueError if it is no forest over so many features."""
        kinds = [np.int32] * 4 + [np.float64] * 2
        arrays = [self.roots, self.left, self.right, self.feature, self.threshold, self.chance]
        if any(a.ndim != 1 or a.dtype != kind for a, kind in zip(arrays, kinds, strict=True)):
            raise ValueError("its arrays have other types")
        count = self.left.size
        if self.roots.size == 0 or any(a.size != count for a in arrays[1:]):
            raise ValueError("its arrays do not fit together")
        inner = self.left >= 0
        node = np.arange(count)
        follows = (self.left > node) & (self.right > node)
        follows &= (self.left < count) & (self.right < count)
        # Nodes follow later ones only: every walk ends.
        if not (follows | ~inner).all() or not ((self.roots >= 0) & (self.roots < count)).all():
            raise ValueError("its trees lead nowhere")
        if ((self.feature < 0) | (self.feature >= features))[inner].any():
            raise ValueError("it asks for features that there are not")
        chance = np.isfinite(self.threshold).all() and ((self.chance >= 0) & (self.chance <= 1))
        if not np.all(chance):
            raise ValueError("it holds numbers that are no chances")


def from_sklearn(model: Any, objects: int) -> Forest:
    """Take the arrays of a fitted ``RandomForestClassifier``.

    Parameters
    ----------
    model
        The classifier.
    objects
        Its class that stands for objects.
    """
    column = int(np.flatnonzero(model.classes_ == objects)[0])
    parts: dict[str, list[Array]] = {name: [] for name in Forest.__dataclass_fields__}
    start = 0
    for one in model.estimators_:
        tree = one.tree_
        leaf = tree.children_left < 0
        parts["roots"].append(np.array([start]))
        parts["left"].append(np.where(leaf, -1, tree.children_left + start))
        parts["right"].append(np.where(leaf, -1, tree.children_right + start))
        parts["feature"].append(np.where(leaf, 0, tree.feature))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        parts["chance"].append(tree.value[:, 0, column])
        start += tree.node_count
    kinds = dict.fromkeys(("roots", "left", "right", "feature"), np.int32)
    return Forest(
        **{
            name: np.concatenate(part).astype(kinds.get(name, float))
            for name, part in parts.items()
        }
    )


@compiled
def _walk(  # noqa: PLR0917 - compiled functions know no keywords
    values: Array,
    roots: Array,
    left: Array,
    right: Array,
    feature: Array,
    threshold: Array,
    chance: Array,
) -> Array:
    found = np.zeros(values.shape[0])
    for pixel in range(values.shape[0]):
        total = 0.0
        for node in roots:
            while left[node] >= 0:
                if values[pixel, feature[node]] <= threshold[node]:
                    node = left[node]  # noqa: PLW2901 - the walk down the tree
                else:
                    node = right[node]  # noqa: PLW2901
            total += chance[node]
        found[pixel] = total / roots.size
    return found
