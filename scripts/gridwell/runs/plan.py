"""What a run is going to do: the first lines of its log, read off Snakemake's workflow.

The workflow is handed over by the Snakefile, so that the library itself knows nothing of Snakemake.
"""

from __future__ import annotations

import os
import platform
import shlex
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import gridwell
from gridwell.runs.records import AnyRecord, JobKept, JobPlanned, RunStarted


def planned(workflow: Any) -> Iterator[AnyRecord]:
    """Yield the start of a run and all its jobs, those to be done and those kept.

    Targets that do nothing themselves have no log and are left out.

    Parameters
    ----------
    workflow
        Snakemake's, once it knows its jobs.
    """
    yield RunStarted(
        host=socket.gethostname(),
        pid=os.getpid(),
        command=shlex.join(sys.argv),
        executor=workflow.executor_plugin.name,
        versions={
            "gridwell": gridwell.__version__,
            "snakemake": version("snakemake"),
            "python": platform.python_version(),
        },
    )
    dag = workflow.dag
    order = {rule.name: at for at, rule in enumerate(workflow.rules)}
    jobs = [job for job in dag.jobs if job.log]
    jobs.sort(key=lambda job: (order[job.rule.name], *job.wildcards))
    needed = {job for job in dag.needrun_jobs() if job.log}
    for job in jobs:
        if job not in needed:
            yield JobKept(rule=job.rule.name, wildcards=job.wildcards_dict)
            continue
        yield JobPlanned(
            job=dag.jobid(job),
            rule=job.rule.name,
            wildcards=job.wildcards_dict,
            log=job.log[0],
            after=sorted(dag.jobid(one) for one in dag.dependencies[job] if one in needed),
            attempts=job.restart_times + 1,
        )
