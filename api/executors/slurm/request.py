"""Makes a job of a submission: what Slurm is asked for, and the script that it executes."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import api
from api.domain.engine import EngineWishes
from api.executors.executor import AheadOfTurn, Submission
from api.executors.slurm import batch
from api.executors.slurm.sight import LOOK_SECONDS, write_look

#: Variables of the supervisor itself; the trainer's are in a file of its own.
_PATH = "/usr/local/bin:/usr/bin:/bin"


def write_script(python: str, uid: str, directory: Path, wait_seconds: int = 0) -> str:
    """The script of a job, which waits for so long until it is told what to start."""
    root = str(Path(api.__file__).resolve().parents[1])
    program = f"import sys; sys.path.append({root!r}); from {batch.__name__} import main; main(*sys.argv[1:])"
    words = [python, "-I", "-S", "-c", program, str(directory.absolute()), str(wait_seconds)]
    return f"#!/bin/sh\n{write_look(directory, uid, LOOK_SECONDS)}exec {' '.join(map(shlex.quote, words))}\n"


def describe_job(
    submission: Submission, comment: str, environment: Mapping[str, str], others: Sequence[str] = ()
) -> dict[str, Any]:
    """What Slurm is asked for. The job is held until its id is kept, and no second one of its name begins. Where Slurm
    chooses the machine, it is none of `others`.
    """
    wishes = submission.wishes or EngineWishes()
    job = _describe(submission.ref.uid, len(submission.gpu_uuids), wishes, comment, environment)
    if submission.node and wishes.features is not None:
        # The machine of the claim has them; of another form of constraint only Slurm knows which machine does.
        return job | {"required_nodes": [submission.node]}
    return job | _without(others)


def describe_ahead(
    wanted: AheadOfTurn, comment: str, environment: Mapping[str, str], others: Sequence[str]
) -> dict[str, Any]:
    """The same for a task whose turn has not come: Slurm chooses the machine, none of `others`."""
    wishes = wanted.wishes or EngineWishes()
    return _describe(wanted.uid, wanted.gpu_count, wishes, comment, environment) | _without(others)


def _without(nodes: Sequence[str]) -> dict[str, Any]:
    return {"excluded_nodes": list(nodes)} if nodes else {}


def _describe(
    uid: str, gpus: int, wishes: EngineWishes, comment: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    job: dict[str, Any] = {
        "name": uid,
        "comment": comment,
        "dependency": "singleton",
        "hold": True,
        # A failed node's training is tried again by the queue, which has its priorities; never by both.
        "requeue": False,
        "environment": [f"{name}={value}" for name, value in ({"PATH": _PATH} | dict(environment)).items()],
        "current_working_directory": "/",
        # Its script prints into the attempt's directory once it has seen that: Slurm would make one that it misses.
        "standard_output": "/dev/null",
        "standard_error": "/dev/null",
        "minimum_nodes": 1,
        "maximum_nodes": 1,
        "tasks": 1,
        "tres_per_node": f"gres/gpu:{gpus}",
    }
    given = {
        "partition": wishes.partition,
        "constraints": wishes.constraint,
        "account": wishes.account,
        "qos": wishes.qos,
        "cpus_per_tres": None if wishes.cpus_per_gpu is None else f"gres/gpu:{wishes.cpus_per_gpu}",
        "memory_per_tres": None if wishes.memory_per_gpu is None else f"gres/gpu:{wishes.memory_per_gpu}",
    }
    job |= {name: value for name, value in given.items() if value is not None}
    if wishes.time_limit is not None:
        job["time_limit"] = {"set": True, "infinite": False, "number": wishes.time_limit}
    return job
