"""Downloads under a real server and its supervisors, from a hub on this machine."""

import hashlib
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
from tests.e2e.training_server import LONG, TrainingServer
from tests.local_hub import LocalHub, cutting, running_hub
from tests.unit.files.weights.stand_ins import header_bytes

TOKEN = "hf_0123456789planted"
REPOSITORY = "Comfy-Org/z_image_turbo"


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with running_hub() as found:
        yield found


@pytest.fixture(scope="module")
def server(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    root = tmp_path_factory.mktemp("downloads")
    with TrainingServer(root / "server", HF_ENDPOINT=hub.address, MODELS_ROOT=str(root / "models")) as started:
        yield started


@pytest.fixture(autouse=True)
def clean(hub: LocalHub) -> None:
    hub.files.clear()
    hub.gated.clear()
    hub.requests.clear()
    hub.fault = hub.redirect = hub.token = None


def weights(seed: int, size: int = 200_000) -> bytes:
    start, length = header_bytes({"w": [size]}, "U8")
    return start + random.Random(seed).randbytes(length)


def models(server: TrainingServer) -> Path:
    return Path(server.settings["MODELS_ROOT"])


def start(server: TrainingServer, **body: Any) -> str:
    return str(server.post("/models/download", 202, json=body)["download_id"])


def wait(server: TrainingServer, download_id: str, *statuses: str) -> dict[str, Any]:
    def poll() -> dict[str, Any] | None:
        shown: dict[str, Any] = server.get(f"/models/download/{download_id}")
        ended = ("completed", "failed", "paused", "cancelled")
        assert shown["status"] in statuses or shown["status"] not in ended, shown["failure"]
        return shown if shown["status"] in statuses else None

    found: dict[str, Any] = until(poll, LONG, f"{download_id} to be {statuses}")
    return found


def test_files_of_a_repository_are_complete_whatever_fails(server: TrainingServer, hub: LocalHub):
    content = {f"w{n}.safetensors": hub.add("o/faulty", f"w{n}.safetensors", weights(n)) for n in range(3)}
    content["config.json"] = hub.add("o/faulty", "config.json", b"{}")
    hub.add("o/faulty", "notes.md", b"not wanted")
    hub.fault = cutting(3, 0.4)
    done = wait(server, start(server, repository="o/faulty", files=["*.safetensors", "config.json"]), "completed")
    for name, expected in content.items():
        assert (models(server) / "o/faulty" / name).read_bytes() == expected
    assert not (models(server) / "o/faulty" / "notes.md").exists()
    assert done["bytes_done"] == done["bytes_total"] == sum(map(len, content.values()))
    assert {file["status"] for file in done["components"]} == {"completed"}


def test_download_continues_after_its_program_was_killed(server: TrainingServer, hub: LocalHub):
    content = hub.add("o/killed", "big.safetensors", weights(9, 3_000_000))
    gate = threading.Event()

    def slow(handler: Any, body: bytes) -> bool:
        if gate.is_set():
            return False
        handler.answer(200, body[:1_500_000], len(body))
        gate.wait(30)
        handler.close_connection = True
        return True

    hub.fault = slow
    download = start(server, repository="o/killed")
    (part,) = until(
        lambda: [p for p in (models(server) / ".incoming").glob("*.part") if p.stat().st_size > 10**6], LONG
    )
    program = until(lambda: _program_of(server), LONG)
    os.kill(program, signal.SIGKILL)
    gate.set()
    assert not (models(server) / "o/killed" / "big.safetensors").exists()
    wait(server, download, "completed")
    assert (models(server) / "o/killed" / "big.safetensors").read_bytes() == content
    assert not part.exists()
    assert any(wanted is not None for _, wanted, _ in hub.requests)


def test_download_outlives_the_server(server: TrainingServer, hub: LocalHub):
    content = hub.add("o/outlives", "big.safetensors", weights(13, 1_000_000))
    gate = threading.Event()

    def block(handler: Any, body: bytes) -> bool:
        gate.wait(30)
        return False

    hub.fault = block
    download = start(server, repository="o/outlives")
    until(lambda: any("/resolve/" in path for path, *_ in hub.requests), LONG)
    server.kill()
    gate.set()
    until((models(server) / "o/outlives" / "big.safetensors").exists, LONG)
    server.start()
    wait(server, download, "completed")
    assert (models(server) / "o/outlives" / "big.safetensors").read_bytes() == content


def _program_of(server: TrainingServer) -> int | None:
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "api.jobs.downloads.program" in line and any(str(server.root) in part for part in line):
            return int(process.pid)
    return None


def test_download_is_paused_resumed_and_cancelled(server: TrainingServer, hub: LocalHub):
    content = hub.add("o/paused", "big.safetensors", weights(11, 2_000_000))
    gate = threading.Event()

    def drip(handler: Any, body: bytes) -> bool:
        if gate.is_set():
            return False
        handler.answer(200, body[:100_000], len(body))
        for at in range(100_000, len(body), 10_000):
            if gate.wait(0.05):
                break
            handler.wfile.write(body[at : at + 10_000])
        handler.close_connection = True
        return True

    hub.fault = drip
    download = start(server, repository="o/paused")
    wait(server, download, "downloading")
    until(lambda: list((models(server) / ".incoming").glob("*.part")), LONG)
    server.post(f"/models/download/{download}/pause", 202)
    wait(server, download, "paused")
    gate.set()
    server.post(f"/models/download/{download}/resume", 202)
    wait(server, download, "completed")
    assert (models(server) / "o/paused" / "big.safetensors").read_bytes() == content
    assert server.post(f"/models/download/{download}/resume", 409)["code"] == "conflict"
    gate.clear()
    hub.add("o/cancelled", "big.safetensors", weights(12, 2_000_000))
    other = start(server, repository="o/cancelled")
    wait(server, other, "downloading")
    server.post(f"/models/download/{other}/cancel", 202)
    wait(server, other, "cancelled")
    gate.set()
    server.post(f"/models/download/{other}/resume", 409)
    assert not (models(server) / "o/cancelled").exists()
    until(lambda: not list((models(server) / ".incoming").iterdir()), LONG, "what was given up to go")
    listed = [each["download_id"] for each in server.get("/models/downloads")["downloads"]]
    assert listed[:2] == [other, download]


def test_gated_repository_names_its_licence_and_the_token_is_stored_nowhere(server: TrainingServer, hub: LocalHub):
    hub.add("o/gated", "w.safetensors", weights(5))
    hub.gated, hub.token = {"o/gated"}, TOKEN
    failed = wait(server, start(server, repository="o/gated"), "failed")
    assert f"{hub.address}/o/gated" in failed["failure"]["detail"]
    assert "licence" in failed["failure"]["detail"]
    wait(server, start(server, repository="o/gated", token=TOKEN), "completed")
    found = [
        path
        for path in server.root.rglob("*")
        if path.is_file() and path.name != "secrets.json" and TOKEN.encode() in path.read_bytes()
    ]
    assert found == []


@pytest.mark.quick
def test_model_is_downloaded_by_its_name_and_is_ready(server: TrainingServer, hub: LocalHub):
    """It contains only what the trainer opens; a file that has moved in its repository is found by its name."""
    hub.add(REPOSITORY, "moved/ae.safetensors", b"".join(_file({"decoder.conv_in.weight": [512, 16, 3, 3]})))
    hub.add(REPOSITORY, "README.md", b"not wanted")
    download = start(server, model_id="z_image", version="turbo", components=["vae"])
    done = wait(server, download, "completed")
    place = models(server) / REPOSITORY / "moved/ae.safetensors"
    assert [file["path"] for file in done["components"]] == [str(place)]
    found = {model["id"]: model for model in server.get("/models/list")["models"]}["z_image"]
    vae = next(each for each in found["components"] if each["key"] == "vae")
    assert (vae["present"], vae["path"]) == (True, str(place))


def test_file_by_its_address_needs_its_hash_and_a_listed_host(server: TrainingServer, hub: LocalHub):
    content = hub.add("o/one", "x.safetensors", weights(21))
    url = f"{hub.address}/o/one/resolve/main/x.safetensors"
    body = {"url": url, "sha256": hashlib.sha256(content).hexdigest(), "name": "mine.safetensors"}
    wait(server, start(server, **body), "completed")
    assert (models(server) / "downloads" / "mine.safetensors").read_bytes() == content
    assert server.post("/models/download", 422, json={"url": url})["code"] == "validation_failed"


def _file(shapes: dict[str, list[int]]) -> tuple[bytes, bytes]:
    start_, length = header_bytes(shapes)
    return start_, bytes(length)
