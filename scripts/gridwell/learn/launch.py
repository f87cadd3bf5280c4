"""Train one network in several processes of this machine, one for each GPU."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from gridwell.config.errors import InputError, Problem
from gridwell.network.device import Policy


def processes_for(gpus: int, policy: Policy, *, name: str) -> int:
    """Say how many processes train a network.

    Parameters
    ----------
    gpus
        What the study asks for.
    policy
        Whether to compute on GPUs.
    name
        Of the network, to tell of mistakes.

    Returns
    -------
    One for each GPU that is asked for and there; 1 where there is none, because several on the
    same CPU gain nothing.

    Raises
    ------
    InputError
        If `policy` is ``require`` and there are fewer GPUs than asked for.
    """
    if gpus == 1 or policy == "forbid":
        return 1
    there = torch.cuda.device_count()
    if there < gpus and policy == "require":
        raise InputError(
            Problem(
                file="config/config.yaml",
                column=f"learn.{name}.gpus",
                value=gpus,
                reason=f"so many GPUs are required and PyTorch finds {there} on this machine",
                remedy="Run on a node that has them, write a smaller number, or set gpu: allow",
            )
        )
    count = max(1, min(gpus, there))
    if there < gpus:
        print(f"gpu: allow: {gpus} GPUs are asked for and {there} are there", flush=True)
    print(f"trained by {count} process{'es, one a GPU' if count > 1 else ''}", flush=True)
    return count


def run(task: Callable[[], None], processes: int, spool: Path) -> None:
    """Run a function in several processes that can tell each other (`gridwell.learn.parallel`).

    What they print is printed here. When one of them ends before its time all are ended; when
    this process ends, however it does, so do they.

    Parameters
    ----------
    task
        Can be pickled.
    processes
        How many.
    spool
        File by which they get the task; it is removed.

    Raises
    ------
    ChildProcessError
        If one of them failed.
    """
    spool.parent.mkdir(parents=True, exist_ok=True)
    # They meet at a file, and at sockets of the loopback interface: nobody else can join.
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder, "meeting")
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        command = [
            *(sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"),
            *("--rdzv-backend=c10d", "--rdzv-conf=store_type=file", "--local-addr=127.0.0.1"),
            f"--rdzv-endpoint={meeting}-of-launcher",
            # Each sees a GPU of its own, as its first.
            *(["--virtual-local-rank"] if torch.cuda.device_count() >= processes else []),
            *("-m", "gridwell.learn.launch", str(spool), str(meeting)),
        ]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            "GLOO_SOCKET_IFNAME": loopback,
            "NCCL_SOCKET_IFNAME": loopback,
        }
        try:
            with spool.open("wb") as file:
                pickle.dump(task, file)
            with subprocess.Popen(  # noqa: S603 - a list, no shell
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as launcher:
                assert launcher.stdout is not None
                for line in launcher.stdout:
                    print(line, end="", flush=True)
        finally:
            spool.unlink(missing_ok=True)
    if launcher.returncode:
        raise ChildProcessError(
            f"one of {processes} processes that train together failed, and all were ended; "
            "what they printed says which and why"
        )


def _take_part(spool: Path, meeting: Path) -> None:
    """Run the task as one of several processes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    rank = int(os.environ["RANK"])
    if rank:
        logging.disable()
    # Nobody needs to wait for one that is gone: then the launcher ends all. The first may take
    # its time over a validation.
    distributed.init_process_group(
        init_method=meeting.as_uri(),
        rank=rank,
        world_size=int(os.environ["WORLD_SIZE"]),
        timeout=timedelta(days=1),
    )
    with spool.open("rb") as file:
        task = pickle.load(file)  # noqa: S301 - `run` has just written it
    task()
    distributed.destroy_process_group()


def _end_with_parent() -> None:
    """Wait until standard input ends: the process that holds its other end, `run`, is gone."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    _take_part(*map(Path, sys.argv[1:]))
