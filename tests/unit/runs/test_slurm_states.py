"""What the wrapped question of the Slurm executor answers."""

from __future__ import annotations

import asyncio

import pytest
from gridwell.runs.slurm import plain_states


def answers(*states: str | None, patience: float = 300) -> list[str | None]:
    """Ask once for each state that Slurm is to tell of one job; None: Slurm does not answer."""
    left = list(states)

    async def query(command: str, logger: object) -> tuple[dict[str, str] | None, float | None]:
        state = left.pop(0)
        return (None, None) if state is None else ({"7": state}, 0.1)

    ask = plain_states(query, patience)
    found = [asyncio.run(ask("sacct", None))[0] for _ in states]
    return [None if states is None else states["7"] for states in found]


def test_cancelled_by_somebody_is_cancelled() -> None:
    assert answers("RUNNING", "CANCELLED by 1000") == ["RUNNING", "CANCELLED"]


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
def test_a_job_may_come_back(state: str) -> None:
    assert answers(state, state, "RUNNING") == ["PENDING", "PENDING", "RUNNING"]


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
def test_a_job_that_does_not_is_submitted_again(state: str) -> None:
    assert answers(state, state, patience=0) == ["CANCELLED", "CANCELLED"]


def test_no_answer_is_none() -> None:
    assert answers(None, "COMPLETED") == [None, "COMPLETED"]
