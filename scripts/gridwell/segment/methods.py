"""The method of a channel by its name: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import SegmentMethod
from gridwell.config.weights import is_of_study, weights_of
from gridwell.segment.auto import Candidate, Sample, choose, conventional_candidates
from gridwell.segment.threshold import THRESHOLDS


def settled(
    method: SegmentMethod,
    samples: Callable[[], Sequence[Sample]],
    *,
    learned: Mapping[str, Candidate] | None = None,
    study: Path = Path(),
) -> tuple[SegmentMethod, dict[str, Any]]:
    """Put the method that ``auto`` chooses in its place, and complete a pixel classifier's.

    Parameters
    ----------
    method
        Settings of a channel.
    samples
        Gives some of its images; called only where they are needed.
    learned
        Candidates beside the conventional ones, such as a network whose weights fit the channel;
        they win ties.
    study
        Folder of the study, where weights of its own are.

    Returns
    -------
    method, facts
        Settings with a method other than ``auto``; what the choice was made on, to be kept with
        the labels (empty where nothing was chosen).

    Raises
    ------
    InputError
        If the method is none that can work here, or its weights cannot be read.
    """
    if method.method == "auto":
        choice = choose(samples(), {**(learned or {}), **conventional_candidates(method)})
        print(f"method: {choice.reason}\n{choice.table()}", flush=True)
        return method.model_copy(update={"method": choice.method}), {"auto": choice.facts()}
    if method.method == "pixel_classifier":
        from gridwell.segment.pixel_classifier import load_classifier

        if method.weights is None or not is_of_study(method.weights):
            raise InputError(
                Problem(
                    file="config/config.yaml",
                    column="segment weights",
                    value=method.weights,
                    reason="names no pixel classifier of the study",
                    remedy="Train one (gridwell train-pixels) and name its file",
                )
            )
        path = weights_of(method.weights, study).absolute()
        # The light is corrected as it was for the scribbles.
        light = load_classifier(path).light
        return method.model_copy(update={**light, "weights": str(path)}), {}
    known = [*THRESHOLDS, *(learned or {}), "none"]
    if method.method not in known:
        raise InputError(
            Problem(
                file="config/config.yaml",
                column="segment method",
                value=method.method,
                reason="is no method that can be used here",
                remedy=f"Use one of {', '.join(sorted(known))}, or auto",
            )
        )
    return method, {}
