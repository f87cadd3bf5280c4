"""States of cells from what both stains say of each."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

STATES = ("live", "dying", "dead", "inactive")
"""States of a nucleus, in the order of the columns of `state_probabilities`."""

# Cells of the slide that a spot's own cells are weighed against.
_PRIOR_CELLS = 10.0
_ROUNDS = 500


def state_probabilities(live: Array, dead: Array, spot: Array, spots: int) -> Array:
    """Probability of each state for every nucleus.

    How common each state is, in the slide and in each spot, is learned from the cells
    themselves by expectation maximisation; a spot of few cells is judged by its slide as well
    (a Dirichlet prior of ten cells). So a cell of which one stain tells nothing is
    taken for what cells like it are, and a spot where all are dead is not called by the rest.

    Parameters
    ----------
    live, dead
        Log ratio of the likelihoods with and without the stain, (n,), as `evidence` gives them.
    spot
        Number of the spot of each, (n,).
    spots
        How many spots there are.

    Returns
    -------
    probabilities
        (n, 4), columns in the order of `STATES`; NaN where a stain tells nothing of any cell.

    References
    ----------
    M. Saerens, P. Latinne, C. Decaestecker, Neural Computation 14 (2002) 21 (adapting a
    classifier to the priors of new data).
    """
    if not (np.isfinite(live).all() and np.isfinite(dead).all()):
        return np.full((len(live), len(STATES)), np.nan)
    log = np.stack([live, live + dead, dead, np.zeros(len(live))], axis=1)
    likelihood = np.exp(log - log.max(axis=1, keepdims=True))
    slide = np.full(len(STATES), 1 / len(STATES))
    for _ in range(_ROUNDS):
        last, slide = slide, _posterior(likelihood, slide).sum(axis=0) + 0.5
        slide = slide / slide.sum()
        if np.abs(slide - last).max() < 1e-7:
            break
    cells = np.bincount(spot, minlength=spots)[:, None]
    prior = np.tile(slide, (spots, 1))
    for _ in range(_ROUNDS):
        found = _posterior(likelihood, prior[spot])
        sums = np.stack(
            [np.bincount(spot, found[:, k], minlength=spots) for k in range(len(STATES))], axis=1
        )
        last, prior = prior, (sums + _PRIOR_CELLS * slide) / (cells + _PRIOR_CELLS)
        if np.abs(prior - last).max() < 1e-7:
            break
    return _posterior(likelihood, prior[spot])


def _posterior(likelihood: Array, prior: Array) -> Array:
    both = likelihood * prior
    return both / both.sum(axis=1, keepdims=True)
