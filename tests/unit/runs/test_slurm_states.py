"""What the wrapped question of the Slurm executor answers."""

from __future__ import annotations

import asyncio

from gridwell.runs.slurm import plain_states


def answers(*states: str | None) -> list[str | None]:
    """Ask once for each state that Slurm is to tell of one job; None: Slurm does not answer."""
    left = list(states)

    async def query(command: str, logger: object) -> tuple[dict[str, str] | None, float | None]:
        state = left.pop(0)
        return (None, None) if state is None else ({"7": state}, 0.1)

    ask = plain_states(query)
    found = [asyncio.run(ask("sacct", None))[0] for _ in states]
    return [None if states is None else states["7"] for states in found]


def test_cancelled_by_somebody_is_cancelled() -> None:
    assert answers("RUNNING", "CANCELLED by 1000") == ["RUNNING", "CANCELLED"]


def test_a_preempted_job_may_come_back() -> None:
    told = ["PREEMPTED", "PREEMPTED", "PENDING", "PREEMPTED", "PREEMPTED", "PREEMPTED", "RUNNING"]
    assert answers(*told) == told


def test_a_job_that_stays_preempted_is_given_up() -> None:
    assert answers(*["PREEMPTED"] * 4) == ["PREEMPTED"] * 3 + ["CANCELLED"]


def test_no_answer_is_none() -> None:
    assert answers(None, "COMPLETED") == [None, "COMPLETED"]
