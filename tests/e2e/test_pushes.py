"""Pushes under a real server and its supervisors, to a hub on this machine."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer
from tests.local_hub import LocalHub, running_hub
from tests.unit.files.weights.stand_ins import header_bytes

TOKEN = "hf_0123456789planted"
NAME = "cats-v1-epoch1.safetensors"


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with running_hub(LocalHub(token=TOKEN)) as found:
        yield found


@pytest.fixture(scope="module")
def server(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    root = tmp_path_factory.mktemp("pushes")
    with TrainingServer(root / "server", HF_ENDPOINT=hub.address) as started:
        task = started.post("/training/start", 201, json=toy(2, every=None))["task_id"]
        until(lambda: started.get(f"/training/{task}")["status"] == "completed", LONG)
        (run_dir,) = started.root.glob(f"tasks/{task}/output/2*")
        artifact = run_dir / "epoch1" / "adapter_model.safetensors"
        artifact.parent.mkdir(exist_ok=True)
        start, length = header_bytes({"w": [3_000_000]}, "U8")
        artifact.write_bytes(start + random.Random(5).randbytes(length))
        body = {"task_id": task, "artifact": f"{run_dir.name}/epoch1/{artifact.name}", "name": "cats"}
        started.post("/models/registry", 201, json=body)
        yield started


@pytest.fixture(autouse=True)
def clean(hub: LocalHub) -> None:
    hub.files.clear()
    hub.stored.clear()
    hub.commits.clear()
    hub.write_fault = hub.part_size = None


def start(server: TrainingServer, repository: str, **body: Any) -> str:
    asked = {"repository": repository, "token": TOKEN, **body}
    return str(server.post("/models/registry/cats/versions/1/push", 202, json=asked)["push_id"])


def wait(server: TrainingServer, push_id: str, status: str) -> dict[str, Any]:
    def poll() -> dict[str, Any] | None:
        shown: dict[str, Any] = server.get(f"/models/push/{push_id}")
        assert shown["status"] == status or shown["status"] in ("queued", "pushing"), shown["failure"]
        return shown if shown["status"] == status else None

    found: dict[str, Any] = until(poll, LONG, f"{push_id} to be {status}")
    return found


def file_of(server: TrainingServer) -> bytes:
    return Path(server.get("/models/registry/cats/versions/1")["path"]).read_bytes()


def program_of(server: TrainingServer) -> int | None:
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "api.jobs.pushes.program" in line and any(str(server.root) in part for part in line):
            return int(process.pid)
    return None


def test_push_continues_after_its_program_was_killed_and_a_second_push_changes_nothing(
    server: TrainingServer, hub: LocalHub
):
    gate, arrived = threading.Event(), threading.Event()

    def hold(handler: Any, what: str) -> bool:
        if what == "commit" and not gate.is_set():
            arrived.set()
            gate.wait(30)
            handler.close_connection = True
            return True
        return False

    hub.write_fault = hold
    push = start(server, "ann/killed")
    until(arrived.is_set, LONG)
    program = until(lambda: program_of(server), LONG)
    assert TOKEN not in " ".join(psutil.Process(program).cmdline())
    os.kill(program, signal.SIGKILL)
    gate.set()
    hub.requests.clear()
    done = wait(server, push, "completed")
    assert hub.files["ann/killed"][NAME] == file_of(server)
    assert not [path for path, *_ in hub.requests if path.startswith("/lfs/")], "a stored file was sent again"
    assert (done["is_new"], done["commit"], done["url"]) == (
        True, hub.revision_of("ann/killed"), f"{hub.address}/ann/killed",
    )  # fmt: skip
    again = wait(server, start(server, "ann/killed"), "completed")
    assert (again["is_new"], again["commit"], len(hub.commits)) == (False, done["commit"], 1)


def test_refusal_is_reported_and_the_push_continues_after_the_correction(server: TrainingServer, hub: LocalHub):
    def refuse(handler: Any, what: str) -> bool:
        if what != "create":
            return False
        handler.answer(403, b"{}", **{"X-Error-Message": f"{TOKEN} has no rights in the namespace ann"})
        return True

    hub.write_fault = refuse
    push = start(server, "ann/refused")
    failed = wait(server, push, "failed")
    assert failed["failure"]["code"] == "hub_refused"
    assert "Set one with write access. Its reason: *** has no rights" in failed["failure"]["detail"]
    hub.write_fault = None
    server.post(f"/models/push/{push}/resume", 202)
    wait(server, push, "completed")
    assert hub.files["ann/refused"][NAME] == file_of(server)


def test_push_is_paused_in_the_middle_of_a_file(server: TrainingServer, hub: LocalHub):
    gate = threading.Event()
    hub.part_size = 500_000
    parts: list[str] = []

    def slow(handler: Any, what: str) -> bool:
        if what == "put":
            parts.append(handler.path)
            gate.wait(1.0 if len(parts) > 1 else 0)
        return False

    hub.write_fault = slow
    push = start(server, "ann/paused")
    until(lambda: len(parts) > 1, LONG)
    server.post(f"/models/push/{push}/pause", 202)
    wait(server, push, "paused")
    assert hub.commits == []
    gate.set()
    server.post(f"/models/push/{push}/resume", 202)
    wait(server, push, "completed")
    assert hub.files["ann/paused"][NAME] == file_of(server)


@pytest.mark.quick
def test_token_and_signed_addresses_are_stored_nowhere(server: TrainingServer, hub: LocalHub):
    def refuse(handler: Any, what: str) -> bool:
        if what != "put":
            return False
        handler.answer(403, TOKEN.encode())
        return True

    hub.write_fault = refuse
    wait(server, start(server, "ann/planted"), "failed")
    files = [path for path in server.root.rglob("*") if path.is_file() and path.name != "secrets.json"]
    content = [(path, path.read_bytes()) for path in files]
    assert [path for path, found in content if TOKEN.encode() in found] == []
    assert [path for path, found in content if b"planted-signature" in found] == []
