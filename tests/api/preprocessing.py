"""Preprocessing for tests: a dataset of real media, and the real program without a supervisor."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from api.domain.datasets.dataset import ManifestItem
from api.domain.tasks.task import ProcessIdentity
from api.executors.fake import outcome
from api.jobs.kinds import PREPROCESSING_JOB
from tests.api.client import Client
from tests.api.conftest import World

PREPROCESS = "/api/v1/preprocess"


def fill(world: World, name: str, owner: str | None = None, **files: bytes) -> None:
    """Create a dataset with these files as its first version, each with a caption."""
    parts, items = world.runtime.datasets, []
    for path, content in files.items():
        with parts.blobs.begin() as writer:
            writer.write(content)
            blob = writer.commit()
        items.append(ManifestItem(path, blob.sha256, blob.size_bytes, f"about {path}"))
    dataset = parts.service.make(name, owner, {})
    parts.service.add_version(dataset, items, "test", "made", expected_latest=None)


def start(client: Client, **request: Any) -> str:
    """Queue a preprocessing and return its id."""
    made = client.post(f"{PREPROCESS}/start", json=request)
    assert made.status_code == 202, made.text
    assert made.headers["location"] == f"{PREPROCESS}/status/{made.json()['data']['task_id']}"
    task_id: str = made.json()["data"]["task_id"]
    return task_id


def begin(world: World, task_id: str) -> None:
    """Let the task's attempt start."""
    world.train()
    world.executor.runs(f"{task_id}.1", ProcessIdentity(4711, 1.0))
    world.train()


def work(world: World, task_id: str, module: str = "api.jobs.preprocessing.program") -> str:
    """Run the submitted program to its end, and return its output."""
    begin(world, task_id)
    submission = world.executor.submissions[-1]
    assert submission.argv[4] == module
    root = str(Path(__file__).parents[2])
    argv = [sys.executable, *submission.argv[1:]]
    done = subprocess.run(
        argv, env={**submission.env, "PYTHONPATH": root}, capture_output=True, text=True, timeout=60, check=False
    )
    world.executor.prints(world.storage / "tasks" / task_id / "log", (done.stdout + done.stderr).encode())
    world.train()
    answer_text = [phrase] if (phrase := PREPROCESSING_JOB.completed_phrase) in done.stdout.splitlines() else []
    world.executor.ends(f"{task_id}.1", outcome(exit_code=done.returncode, phrases=answer_text))
    world.train()
    return done.stdout


def collect_results(world: World) -> None:
    """Collect the results."""
    world.runtime.work.recorder.run_once()
    world.train()
