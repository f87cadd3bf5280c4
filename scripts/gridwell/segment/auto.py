"""Which method suits a channel: the one that agrees best with the others, or with a truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from gridwell.config.models import SegmentMethod
from gridwell.segment.agreement import agreement
from gridwell.segment.conventional import segment_spot

Array = np.ndarray[Any, np.dtype[Any]]
Candidate = Callable[["Sample", float], Array]

# A good method finds the same objects when its threshold moves by this much.
_MOVES = (0.8, 1.2)
# Scores that differ by less than this are a tie.
_TIE = 0.005
# The candidates without training, best first in a tie.
CANDIDATES = ("local", "otsu", "top_hat", "difference_of_gaussians")


@dataclass(frozen=True)
class Sample:
    """An image to try the methods on.

    Attributes
    ----------
    image
        Grey values (h, w).
    mask
        Outline of the spot, bool (h, w), or None: all of it.
    valid
        Pixels that were imaged, bool (h, w), or None: all of them.
    truth
        Labels that a person corrected, (h, w), or None.
    """

    image: Array
    mask: Array | None = None
    valid: Array | None = None
    truth: Array | None = None


@dataclass(frozen=True)
class Choice:
    """The method that was chosen, and why.

    Attributes
    ----------
    method
        Name of the method.
    reason
        A sentence.
    scores
        For each method `score`, on which it was chosen, `agreement` with the others (or with
        the truth) and `stability`, all between 0 and 1.
    pairs
        Agreement of each two methods, by `first` and `second`.
    """

    method: str
    reason: str
    scores: dict[str, dict[str, float]]
    pairs: list[dict[str, Any]]

    def facts(self) -> dict[str, Any]:
        """Return it as plain numbers and texts, to be kept with the labels."""
        return dict(vars(self))

    def table(self) -> str:
        """Return the scores as text, one line a method."""
        lines = [f"{'method':<26}score  agreement  stability"]
        for name, one in self.scores.items():
            numbers = f"{one['score']:.3f}  {one['agreement']:9.3f}  {one['stability']:9.3f}"
            lines.append(f"{name:<26}{numbers}")
        return "\n".join(lines)


def conventional_candidates(method: SegmentMethod) -> dict[str, Candidate]:
    """Candidates without training, with the sizes and the light of `method`."""

    def candidate(name: str) -> Candidate:
        def run(sample: Sample, factor: float) -> Array:
            own = method.model_copy(update={"method": name, "threshold": method.threshold * factor})
            return segment_spot(sample.image, own, sample.mask, valid=sample.valid)

        return run

    return {name: candidate(name) for name in CANDIDATES}


def choose(samples: Sequence[Sample], candidates: Mapping[str, Candidate]) -> Choice:
    """Choose the method that agrees best, measured on some images.

    Each candidate segments each sample three times: as it is, and with its threshold lowered and
    raised by a fifth; how well these agree is its stability. Where samples have a truth, the
    candidate that agrees best with it is chosen. Else the score is the mean agreement with the
    other candidates, each counted by its stability, times the candidate's own stability: errors
    of different methods differ, so what most of them find is most often right. In a tie the
    candidate that was named first is chosen.

    Parameters
    ----------
    samples
        Images; those on which no candidate finds anything tell nothing and are left out.
    candidates
        For each name a function (sample, factor on the threshold) -> labels (h, w).

    Returns
    -------
    choice
        The method, the reason and all scores.
    """
    names = list(candidates)
    stable, pairs, true = _measured(samples, candidates)
    if not stable:
        reason = "no method finds an object in the samples; the first is taken"
        return Choice(names[0], reason, {}, [])
    stability = {name: float(np.mean([one[name] for one in stable])) for name in names}
    among = {pair: float(np.mean([one[pair] for one in pairs])) for pair in pairs[0]}
    if true:
        agreed = {name: float(np.mean([one[name] for one in true])) for name in names}
        score = agreed
    else:
        agreed = {name: _with_others(name, among, stability) for name in names}
        score = {name: agreed[name] * stability[name] for name in names}
    best = max(score.values())
    method = next(name for name in names if score[name] >= best - _TIE)
    scores = {
        name: {
            "score": round(score[name], 4),
            "agreement": round(agreed[name], 4),
            "stability": round(stability[name], 4),
        }
        for name in names
    }
    reason = _reason(method, score, images=len(true or stable), truth=bool(true))
    return Choice(
        method,
        reason,
        scores,
        [{"first": a, "second": b, "agreement": round(v, 4)} for (a, b), v in among.items()],
    )


def _measured(
    samples: Sequence[Sample], candidates: Mapping[str, Candidate]
) -> tuple[list[dict[str, float]], list[dict[tuple[str, str], float]], list[dict[str, float]]]:
    """Measure stability, agreement in pairs, and agreement with the truth, for each sample."""
    stable, pairs, true = [], [], []
    for sample in samples:
        found = {name: run(sample, 1.0) for name, run in candidates.items()}
        if sample.truth is not None:
            known = sample.truth
            true.append({name: agreement(known, labels) for name, labels in found.items()})
        if not any(labels.any() for labels in found.values()):
            continue
        stable.append(
            {
                name: float(np.mean([agreement(found[name], run(sample, by)) for by in _MOVES]))
                for name, run in candidates.items()
            }
        )
        pairs.append({(a, b): agreement(found[a], found[b]) for a, b in combinations(found, 2)})
    return stable, pairs, true


def _with_others(
    name: str, among: dict[tuple[str, str], float], stability: dict[str, float]
) -> float:
    """Mean agreement with the other candidates, each counted by its stability."""
    other = {a if b == name else b: value for (a, b), value in among.items() if name in (a, b)}
    weight = sum(stability[one] for one in other)
    return sum(stability[one] * value for one, value in other.items()) / weight if weight else 0.0


def _reason(method: str, score: dict[str, float], *, images: int, truth: bool) -> str:
    rest = {name: value for name, value in score.items() if name != method}
    what = "agrees best with the corrected labels" if truth else "agrees best with the others"
    where = "1 image" if images == 1 else f"{images} images"
    text = f"{method} {what}: {score[method]:.2f} on {where}"
    if not rest:
        return text
    next_best = max(rest, key=lambda name: rest[name])
    return f"{text}, against {rest[next_best]:.2f} for {next_best}"
