"""Puts the node's GPUs and port into a command that was prepared before they were known.

It runs in the supervisor's process on the node, so its imports are limited like the supervisor's. Trainers get their
GPUs from CUDA_VISIBLE_DEVICES or `--world_info=` (DeepSpeed's launcher), and their port from `--master_port`.
"""

from __future__ import annotations

import base64
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"
_WORLD = "--world_info="
_PORT = "--master_port"


def place_argv(argv: Sequence[str], gpus: Sequence[str], port: int | None) -> list[str]:
    """Return the command with these GPUs and this port. If `port` is None, the port does not change."""
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
