"""A server process with the requests that tests of trainings need."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.server import BASE, ServerProcess, until
from tests.e2e.toy_tasks import AttemptFiles, attempts_of, log_of
from tests.e2e.witness import Processes, TrainerProcess

FINISHED = ("completed", "failed", "stopped")

#: Allows for other work on the cores.
LONG = 60.0


class TrainingServer(ServerProcess):
    """A server with eight simulated GPUs and quick stops by default. It ends its trainings on leaving."""

    def __init__(self, directory: Path, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        defaults = {
            "GPU_MONITOR_INTERVAL": "0.5",
            # A busy machine does not sweep every second: tests of trainings must not see stale readings.
            "GPU_STATUS_CHECK_TIMEOUT": "5",
            "SIMULATED_GPUS": "8x NVIDIA GeForce RTX 4090",
            "MIN_FREE_DISK_MB": "0",
            "STOP_CHECKPOINT_SECONDS": "20",
            "STOP_TERMINATE_SECONDS": "1",
        }
        super().__init__(directory, defaults | settings)
        self.root = Path(self.settings["STORAGE_ROOT"])
        self.processes = Processes(self.root)

    def __exit__(self, *why: Any) -> None:
        super().__exit__(*why)
        until(self._end_all, what="the end of its trainings")

    def _end_all(self) -> bool:
        found = [*self.processes.supervisors(), *(process.pid for process in self.processes.trainers())]
        for pid in found:
            kill(pid)
        return not found

    def kill(self) -> None:
        """Kill the server as the out-of-memory killer would."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def has_tasks(self) -> bool:
        """Return whether a task holds or waits for a GPU."""
        overview = self.get("/system/overview")
        return overview["gpus"]["busy"] > 0 or overview["tasks"]["queued"] + overview["tasks"]["running"] > 0

    def make_idle(self) -> None:
        """End all tasks that hold or wait for a GPU, so that one test does not make the next fail."""
        for task in self.get("/training/list", params={"status": "queued,starting,running,stopping"})["tasks"]:
            self.stop_task(task["task_id"], force=True)
        for lease in self.get("/gpu/tasks")["tasks"]:
            self.client.delete(f"{BASE}/gpu/tasks/{lease['task_id']}")
        until(lambda: all(gpu["status"] == "available" for gpu in self.gpus()), LONG, "every GPU to be free")

    # Requests

    def post(self, path: str, expected: int, **more: Any) -> dict[str, Any]:
        """Send a request, assert the status, and return the data or the error."""
        answer = self.client.post(BASE + path, **more)
        assert answer.status_code == expected, answer.text
        body = answer.json()
        found: dict[str, Any] = body["data"] if expected < 400 else body["error"] | {"data": body.get("data")}
        return found

    def start_task(self, body: dict[str, Any], key: str | None = None) -> str:
        headers = {} if key is None else {"Idempotency-Key": key}
        return str(self.post("/training/start", 201, json=body, headers=headers)["task_id"])

    def stop_task(self, task_id: str, **how: Any) -> dict[str, Any]:
        """Request a stop; the status is 200 if the task has already ended, else 202."""
        answer = self.client.post(f"{BASE}/training/{task_id}/stop", json=how)
        assert answer.status_code in (200, 202), answer.text
        stopped: dict[str, Any] = answer.json()["data"]
        return stopped

    def task(self, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = self.get(f"/training/{task_id}")
        return task

    def task_ids(self) -> list[str]:
        return [task["task_id"] for task in self.get("/training/list")["tasks"]]

    def task_events(self, task_id: str, kind: str | None = None) -> list[dict[str, Any]]:
        events = self.get(f"/training/{task_id}/events", params={"limit": "500"})["events"]
        return [event for event in events if kind in (None, event["type"])]

    # Waiting

    def await_status(self, task_id: str, *statuses: str, timeout: float = LONG) -> dict[str, Any]:
        def poll() -> bool:
            status = self.get(f"/training/{task_id}/progress")["status"]
            assert status in statuses or status not in FINISHED, self.task(task_id)
            return status in statuses

        until(poll, timeout, f"{task_id} to be {' or '.join(statuses)}")
        return self.task(task_id)

    def await_step(self, task_id: str, step: int) -> dict[str, Any]:
        def poll() -> bool:
            shown = self.get(f"/training/{task_id}/progress")
            assert shown["status"] not in FINISHED, self.task(task_id)
            return (shown["progress"]["current_step"] or 0) >= step

        until(poll, LONG, f"step {step} of {task_id}")
        return self.task(task_id)

    # Direct observation

    def log_of(self, task_id: str) -> str:
        return log_of(self.root, task_id)

    def attempts_of(self, task_id: str) -> list[AttemptFiles]:
        return attempts_of(self.root, task_id)

    def processes_of(self, task_id: str) -> list[TrainerProcess]:
        return [process for process in self.processes.trainers() if process.uid.rpartition(".")[0] == task_id]

    def main_of(self, task_id: str) -> TrainerProcess:
        """Return the main process of a training, and assert that there is only one."""
        found = until(lambda: [each for each in self.processes_of(task_id) if each.is_main], LONG, "its main process")
        assert len(found) == 1, found
        return found[0]


def kill(pid: int) -> None:
    """End a process of a test, unless it has ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
