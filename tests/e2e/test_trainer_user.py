"""Trainings that run as another user than the service: all that they do as ever, and what they cannot do."""

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.other_users import (
    SERVICE,
    TRAINER,
    as_service,
    place_of_service,
    require_other_users,
    separated_server,
)
from tests.e2e.server import BASE, ROOT, command, environment, until
from tests.e2e.toy_tasks import COMPLETED, NASTY, QUIT, toy
from tests.e2e.training_server import LONG, TrainingServer, kill
from tests.e2e.witness import runs

ENDLESS = toy(100_000, step_seconds=0.1)
HOSTILE_EPOCHS = 13

#: Stands in the place of the toy's program: who asks for so many epochs is hostile, everybody else trains.
CHOICE = """
import runpy, sys, tomllib
from pathlib import Path
config = tomllib.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
if config["epochs"] == {epochs}:
    sys.argv.append({targets!r})
    runpy.run_path({hostile!r}, run_name="__main__")
else:
    runpy.run_path(str(Path(__file__).with_name("toy_train.py")), run_name="__main__")
"""

pytestmark = pytest.mark.usefixtures("other_users")


@pytest.fixture(scope="module")
def other_users() -> None:
    require_other_users()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with place_of_service() as directory:
        yield directory


@pytest.fixture(scope="module")
def server(place: Path, other_users: None) -> Iterator[TrainingServer]:
    with separated_server(place) as started:
        yield started


def users_of(server: TrainingServer, task_id: str) -> set[tuple[Any, ...]]:
    found = [psutil.Process(process.pid) for process in server.processes_of(task_id)]
    return {tuple(process.uids()) for process in found}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_training_runs_as_its_user_saves_and_is_resumed(server: TrainingServer) -> None:
    task_id = server.start_task(toy(100_000, step_seconds=0.05, every=10))
    server.await_step(task_id, 12)
    assert users_of(server, task_id) == {(TRAINER,) * 3}
    (supervisor,) = [pid for pid, directory in server.processes.supervisors().items() if task_id in str(directory)]
    assert psutil.Process(supervisor).uids().real == SERVICE
    server.stop_task(task_id)
    stopped = server.await_status(task_id, "stopped")
    assert QUIT in server.log_of(task_id)
    last = [checkpoint for checkpoint in stopped["checkpoints"] if checkpoint["is_complete"]][-1]
    resumed = server.post(f"/training/{task_id}/resume", 202, json={"config": {"epochs": 2}})
    assert resumed["status"] in ("queued", "starting", "running")
    server.await_step(task_id, last["step"] + 3)
    server.stop_task(task_id)
    server.await_status(task_id, "stopped")
    files = [file for file in server.get(f"/training/{task_id}/artifacts")["artifacts"] if file["size_bytes"]]
    for file in files:
        answer = server.client.get(f"{BASE}/training/{task_id}/artifacts/{file['path']}")
        assert (answer.status_code, len(answer.content)) == (200, file["size_bytes"]), file
    assert server.client.delete(f"{BASE}/training/{task_id}?files=true").status_code == 200
    assert not (server.root / "tasks" / task_id).exists()
