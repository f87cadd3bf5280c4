"""Several processes train the network that one would, and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from gridwell.config.errors import InputError
from gridwell.config.models import LearnModel
from gridwell.learn import launch, parallel, train
from gridwell.learn.augment import Augmentation, Prepared, prepare
from gridwell.learn.fit import _Run, fit, loss_of
from gridwell.learn.presets import recipe_of, wrong_recipes
from gridwell.learn.recipe import Recipe
from gridwell.network.device import one_thread
from gridwell.network.unet import UNet
from gridwell.network.weights import load_network

from tests.unit.learn.test_fit import discs

# Three crops for two processes: their parts are not equal. Gentle steps: AdamW divides by the
# size of the gradients, and where they are next to nothing rounding decides.
TINY = Recipe(
    widths=(4, 6, 8, 8),
    steps=8,
    batch=3,
    crop=64,
    every=2,
    optimiser="sgd",
    rate=1e-3,
    augmentation=Augmentation(scale=(0.8, 1.2)),
)


def examples() -> list[Prepared]:
    return [prepare(discs(seed), instance=True) for seed in range(4)]


def level(network: UNet) -> dict[str, float]:
    """Score a network by what only the first process may be asked."""
    assert parallel.rank() == 0
    with torch.inference_mode():
        return {"level": float(network(torch.ones(1, 2, 64, 64)).mean())}


def level_or_death(died: Path, network: UNet) -> dict[str, float]:
    """Score a network; kill the process the third time, unless one died before."""
    calls = died.with_suffix(".calls")
    calls.write_text(calls.read_text() + "." if calls.exists() else ".")
    if len(calls.read_text()) == 3 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return level(network)


def learn(folder: Path, recipe: Recipe = TINY) -> None:
    """Train, and leave what each process ends with in a folder."""
    network, curve = fit(examples(), recipe, score=level, checkpoint=folder / "checkpoint")
    torch.save((curve.to_dict("list"), network.state_dict()), folder / f"{parallel.rank()}.end")


def first_gradients(folder: Path) -> None:
    """Leave the gradients of the first batch, as the optimiser gets them, and its statistics."""
    run = _Run(examples(), TINY, None, None, torch.device("cpu"))
    part = slice(parallel.rank(), None, parallel.processes())
    image, target, weight = map(torch.from_numpy, run._draw(run.rng, part))
    loss_of(run.learner.train()(image), target, weight, TINY).backward()
    state = run.network.state_dict()
    torch.save(
        (
            torch.cat([one.grad.flatten() for one in run.network.parameters()]),
            {key: value for key, value in state.items() if "running" in key},
        ),
        folder / f"{parallel.rank()}.first",
    )


def everything(folder: Path) -> None:
    first_gradients(folder)
    learn(folder)


def gone(folder: Path, seconds: float = 10) -> bool:
    """Whether no process is left that was given a file of a folder; it has a while to go."""
    deadline = time.monotonic() + seconds
    while True:
        lines = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
        if not any(str(folder) in line and "gridwell.learn.launch" in line for line in lines):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    """The same, done by one process and by two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    with one_thread():
        everything(one)
    launch.run(partial(everything, two), 2, two / "task")
    return one, two


@pytest.mark.slow
def test_gradients_and_statistics_are_those_of_the_whole_batch(both):
    expected, running = torch.load(both[0] / "0.first")
    for rank in (0, 1):
        gradients, own = torch.load(both[1] / f"{rank}.first")
        assert (gradients - expected).norm() < 1e-4 * expected.norm()
        torch.testing.assert_close(own, running, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_two_processes_train_the_network_of_one(both):
    one, *two = (torch.load(both[n] / f"{rank}.end") for n, rank in ((0, 0), (1, 0), (1, 1)))
    for curve, weights in two:
        torch.testing.assert_close(curve, one[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(weights, one[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two[0], two[1], rtol=0, atol=0)
    assert one[0]["step"] == [2, 4, 6, 8]


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_training_goes_on(both, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch, "processes_for", lambda gpus, policy, name: gpus)

    def trained() -> tuple[Path, Path]:
        return train.trained(
            examples(),
            TINY,
            of="discs",
            name="net",
            gpus=2,
            start=None,
            score=partial(level_or_death, tmp_path / "died"),
            work=tmp_path / "work",
            policy="forbid",
        )

    with pytest.raises(ChildProcessError, match="2 processes"):
        trained()
    said = capsys.readouterr().out
    assert "SIGKILL" in said
    assert "step 4," in said
    assert gone(tmp_path)
    assert [path.suffix for path in (tmp_path / "work").iterdir()] == [".checkpoint"]

    weights, told = trained()
    assert capsys.readouterr().out.count("step ") == 2
    assert sorted((tmp_path / "work").iterdir()) == sorted([weights, told])
    curve, state = torch.load(both[1] / "0.end")
    torch.testing.assert_close(
        pd.read_csv(told, dtype=float).to_dict("list"), curve, rtol=1e-6, atol=0
    )
    torch.testing.assert_close(load_network(weights).state_dict(), state, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_all_end_with_the_process_that_started_them(tmp_path):
    program = (
        "from dataclasses import replace; from functools import partial; from pathlib import Path\n"
        "from gridwell.learn.launch import run; from tests.unit.learn.test_parallel import *\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "run(partial(learn, folder, replace(TINY, steps=10**6)), 2, folder / 'task')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment)
    while not (tmp_path / "checkpoint").is_file():
        assert parent.poll() is None
        time.sleep(0.1)
    assert not gone(tmp_path, seconds=0)
    parent.kill()
    parent.wait()
    assert gone(tmp_path)


def test_as_many_processes_as_gpus_are_asked_for_and_there(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert launch.processes_for(1, "require", name="net") == 1
    assert launch.processes_for(4, "forbid", name="net") == 1
    assert launch.processes_for(2, "require", name="net") == 2
    assert "are there" not in capsys.readouterr().out
    assert launch.processes_for(4, "allow", name="net") == 2
    assert "4 GPUs are asked for and 2 are there" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"learn\.net\.gpus.*\(found 4\).*Run on a node"):
        launch.processes_for(4, "require", name="net")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert launch.processes_for(4, "allow", name="net") == 1
    assert "trained by 1 process\n" in capsys.readouterr().out


def test_a_batch_has_a_part_for_each_gpu():
    assert recipe_of("net", LearnModel(gpus=8)).batch == 8
    (problem,) = wrong_recipes({"net": LearnModel(gpus=8, recipe={"batch": 4})})
    assert problem.column == "learn.net.gpus"
