"""Requests for toy trainings, and readers of their logs."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from api.executors.log_files import LogFiles

STARTED = "toy trainer: a tiny model on the CPU"
COMPLETED = "TRAINING COMPLETE!"
QUIT = "Manually quitting"

_STEP = re.compile(r"^steps: (\d+) loss: (\S+)", re.MULTILINE)


def toy(
    steps: int = 20,
    epochs: int = 1,
    *,
    step_seconds: float = 0.05,
    gpus: int | list[int] = 1,
    every: int | None = 10,
    knobs: dict[str, Any] | None = None,
    **request: Any,
) -> dict[str, Any]:
    """Return a request for a toy training of `epochs` times `steps` steps, with a checkpoint every `every` steps."""
    table = {
        "steps_per_epoch": steps,
        "step_seconds": step_seconds,
        "load_seconds": 0.05,
        "cache_seconds": 0.05,
        **({} if every is None else {"checkpoint_every_n_steps": every}),
        **(knobs or {}),
    }
    gpu_fields = {"gpu_count": gpus} if isinstance(gpus, int) else {"gpu_ids": gpus}
    config = {"epochs": epochs, "micro_batch_size_per_gpu": 8, "toy": table}
    return {"model_type": "toy", "config": config, **gpu_fields, **request}


NASTY = {"spawn_children": 3, "nasty_children": True}


@dataclass(frozen=True)
class Kind:
    """A kind of training with its undisturbed end: a status, or the cause of its failure."""

    body: dict[str, Any]
    ends: str


KINDS = {
    "plain": Kind(toy(60, gpus=1), "completed"),
    "two": Kind(toy(60, step_seconds=0.1, gpus=2), "completed"),
    "three": Kind(toy(40, 2, step_seconds=0.1, gpus=3, keep_last_checkpoints=2), "completed"),
    "long": Kind(toy(30_000, step_seconds=0.1), "stopped"),
    "long two": Kind(toy(30_000, step_seconds=0.1, gpus=2), "stopped"),
    "nasty": Kind(toy(40, knobs=NASTY), "completed"),
    "stubborn": Kind(toy(30_000, step_seconds=0.1, knobs=NASTY | {"ignore_sigterm": True}), "stopped"),
    "error": Kind(toy(60, knobs={"fail_at_step": 15}), "trainer_error"),
    "oom": Kind(toy(60, gpus=2, knobs={"fail_at_step": 25, "fail_with": "cuda_oom"}), "cuda_out_of_memory"),
    "retry": Kind(toy(60, max_retries=3, knobs={"fail_at_step": 25, "fail_once": True}), "completed"),
    "port": Kind(toy(30, knobs={"fail_at_step": 0, "fail_once": True, "fail_with": "port_in_use"}), "completed"),
}


@dataclass(frozen=True)
class AttemptFiles:
    """The directory of one attempt, and its part of the task's log."""

    directory: Path
    log: str

    @property
    def number(self) -> int:
        return int(self.directory.name)

    @cached_property
    def outcome(self) -> dict[str, Any] | None:
        return _load(self.directory / "exit.json")

    @property
    def starts(self) -> int:
        return self.log.count(STARTED)

    @property
    def steps(self) -> list[int]:
        return [int(found[1]) for found in _STEP.finditer(self.log)]


def _load(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found


def log_of(root: Path, task_id: str) -> str:
    """Return the complete log of a task."""
    return LogFiles(root / "tasks" / task_id / "log").read(0, 2**30)[1].decode(errors="replace")


def attempts_of(root: Path, task_id: str) -> list[AttemptFiles]:
    """Return the attempts of a task that a supervisor has started, oldest first."""
    content = LogFiles(root / "tasks" / task_id / "log").read(0, 2**30)[1]
    directories = sorted((root / "tasks" / task_id / "attempts").glob("*"), key=lambda path: int(path.name))
    offsets = []
    for directory in directories:
        record = _load(directory / "exit.json") or _load(directory / "runner.json") or {}
        offsets.append(record.get("log_offset") if record.get("started_at") else None)
    known = [(d, int(o)) for d, o in zip(directories, offsets, strict=True) if o is not None]
    ends = [*(offset for _, offset in known), len(content)][1:]
    return [
        AttemptFiles(directory, content[offset:end].decode(errors="replace"))
        for (directory, offset), end in zip(known, ends, strict=True)
    ]
