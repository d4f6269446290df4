"""Build Slurm jobs and their scripts from submissions."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import api
from api.domain.tasks.cluster_options import ClusterOptions
from api.executors.executor import EarlyJobRequest, Submission
from api.executors.slurm import batch
from api.executors.slurm.storage_check import LOOK_SECONDS, write_storage_check

#: The PATH of the supervisor itself; the trainer's variables are in a file.
_PATH = "/usr/local/bin:/usr/bin:/bin"


def write_script(python: str, uid: str, directory: Path, wait_seconds: int = 0) -> str:
    """Return the script of a job, which waits up to `wait_seconds` for its specification."""
    root = str(Path(api.__file__).resolve().parents[1])
    program = f"import sys; sys.path.append({root!r}); from {batch.__name__} import main; main(*sys.argv[1:])"
    command = [python, "-I", "-S", "-c", program, str(directory.absolute()), str(wait_seconds)]
    return f"#!/bin/sh\n{write_storage_check(directory, uid, LOOK_SECONDS)}exec {' '.join(map(shlex.quote, command))}\n"


def describe_job(
    submission: Submission, comment: str, environment: Mapping[str, str], others: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the job description for Slurm.

    The job is held until its id is stored. It depends on jobs of the same name, so no second one starts. If Slurm
    chooses the node, it uses none of `others`.
    """
    cluster_options = submission.cluster_options or ClusterOptions()
    job = _describe(submission.ref.uid, len(submission.gpu_uuids), cluster_options, comment, environment)
    if submission.node and cluster_options.features is not None:
        # The claimed node has these features. For other constraints only Slurm knows which nodes satisfy them.
        return job | {"required_nodes": [submission.node]}
    return job | _without(others)


def describe_early_job(
    wanted: EarlyJobRequest, comment: str, environment: Mapping[str, str], others: Sequence[str]
) -> dict[str, Any]:
    """Return the description of an early job: Slurm chooses the node, but none of `others`."""
    cluster_options = wanted.cluster_options or ClusterOptions()
    return _describe(wanted.uid, wanted.gpu_count, cluster_options, comment, environment) | _without(others)


def _without(nodes: Sequence[str]) -> dict[str, Any]:
    return {"excluded_nodes": list(nodes)} if nodes else {}


def _describe(
    uid: str, gpus: int, cluster_options: ClusterOptions, comment: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    job: dict[str, Any] = {
        "name": uid,
        "comment": comment,
        "dependency": "singleton",
        "hold": True,
        # After a node failure only our queue, with its priorities, retries the training.
        "requeue": False,
        "environment": [f"{name}={value}" for name, value in ({"PATH": _PATH} | dict(environment)).items()],
        "current_working_directory": "/",
        # The script redirects its output to the attempt's directory after checking it: Slurm would create a missing
        # one.
        "standard_output": "/dev/null",
        "standard_error": "/dev/null",
        "minimum_nodes": 1,
        "maximum_nodes": 1,
        "tasks": 1,
        "tres_per_node": f"gres/gpu:{gpus}",
    }
    given = {
        "partition": cluster_options.partition,
        "constraints": cluster_options.constraint,
        "account": cluster_options.account,
        "qos": cluster_options.qos,
        "cpus_per_tres": None if cluster_options.cpus_per_gpu is None else f"gres/gpu:{cluster_options.cpus_per_gpu}",
        "memory_per_tres": None
        if cluster_options.memory_per_gpu is None
        else f"gres/gpu:{cluster_options.memory_per_gpu}",
    }
    job |= {name: value for name, value in given.items() if value is not None}
    if cluster_options.time_limit is not None:
        job["time_limit"] = {"set": True, "infinite": False, "number": cluster_options.time_limit}
    return job
