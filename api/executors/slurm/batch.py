"""The program of a Slurm job on its node: `main`, run by a Python without site packages, like a supervisor.

It records where the attempt is, puts the GPUs and a free port of this node into its command, and becomes the
supervisor.
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import sys
import time

from api.executors import supervisor
from api.executors.attempt.small_files import read_json, write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Ports for a trainer's master if the intended one is in use.
_FIRST_PORT, _LAST_PORT = 29500, 32000

_LOOK_SECONDS = 0.1  #: polling interval for the specification

VISIBLE = "CUDA_VISIBLE_DEVICES"
_WORLD = "--world_info="
_PORT = "--master_port"


def place_argv(argv: Sequence[str], gpus: Sequence[str], port: int | None) -> list[str]:
    """Return the command with these GPUs and this port. If `port` is None, the port does not change.

    Trainers get their GPUs from CUDA_VISIBLE_DEVICES or `--world_info=` (DeepSpeed's launcher), and their port from
    `--master_port`.
    """
    placed: list[str] = []
    for number, argument in enumerate(argv):
        if argument.startswith(_WORLD):
            placed.append(_WORLD + _world(gpus))
        elif port is not None and argument.startswith(f"{_PORT}="):
            placed.append(f"{_PORT}={port}")
        elif port is not None and number and argv[number - 1] == _PORT:
            placed.append(str(port))
        else:
            placed.append(argument)
    return placed


def place_environment(environment: dict[str, object], gpus: Sequence[str]) -> dict[str, object]:
    """Return the trainer's environment with these GPUs, if it has a list of GPUs."""
    return {**environment, VISIBLE: ",".join(gpus)} if VISIBLE in environment else environment


def _world(gpus: Sequence[str]) -> str:
    named = [int(gpu) if gpu.isdigit() else gpu for gpu in gpus]
    return base64.urlsafe_b64encode(json.dumps({"localhost": named}).encode()).decode()


def prepare(directory: str, environment: Mapping[str, str]) -> None:
    """Complete the specification with Slurm's `environment` on this node.

    An attempt that was started before does not change. Raises OSError, ValueError.
    """
    if os.path.lexists(f"{directory}/runner.json") or os.path.lexists(f"{directory}/exit.json"):
        return
    spec = read_json(f"{directory}/spec.json")
    argv = spec.get("argv")
    if not isinstance(argv, list):
        raise ValueError("spec.json: argv is not a list of strings")
    gpus = _split(environment.get("CUDA_VISIBLE_DEVICES") or environment.get("SLURM_JOB_GPUS") or "")
    wanted = spec.get("master_port")
    port = choose_port(wanted) if isinstance(wanted, int) else None
    spec["argv"] = place_argv([str(argument) for argument in argv], gpus, port)
    spec["master_port"] = port
    spec["node"] = environment.get("SLURMD_NODENAME") or socket.gethostname()
    spec["job_id"] = environment.get("SLURM_JOB_ID")
    spec["gpu_indices"] = [int(gpu) for gpu in _split(environment.get("SLURM_JOB_GPUS") or "") if gpu.isdigit()]
    given = read_json(f"{directory}/environment.json")
    write_json(f"{directory}/environment.json", place_environment(given, gpus))
    write_json(f"{directory}/spec.json", spec)


def choose_port(wanted: int) -> int:
    """Return this port if it is free, else another one."""
    for port in (wanted, *random.sample(range(_FIRST_PORT, _LAST_PORT), 64)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    return wanted


def _split(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def wait(directory: str, seconds: float) -> bool:
    """Wait for the specification. Return False if it does not appear in time."""
    give_up_at = time.monotonic() + seconds
    while not os.path.lexists(f"{directory}/spec.json"):
        if time.monotonic() >= give_up_at:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def main(directory: str, wait_seconds: str = "0") -> None:
    """Become the supervisor of the attempt in this directory, once it is described."""
    if float(wait_seconds) and not wait(directory, float(wait_seconds)):
        return
    try:
        prepare(directory, os.environ)  # noqa: TID251 - Slurm's choices are in the environment
    except (OSError, ValueError) as error:
        # The supervisor reports this in its outcome, as far as it can be written.
        os.write(2, f"the attempt cannot be prepared on this node: {error}\n".encode())
    os.chdir("/")
    program = os.path.abspath(supervisor.__file__)
    os.execv(sys.executable, [sys.executable, "-I", "-S", program, directory])  # noqa: S606 - no shell is used
