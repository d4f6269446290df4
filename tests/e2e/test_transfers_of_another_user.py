"""Downloads and pushes run as the service's user, so that trainings of another user cannot read their tokens."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.other_users import SERVICE, TRAINER, require_other_users, separated_server, service_directory
from tests.e2e.server import until
from tests.e2e.training_server import LONG, TrainingServer
from tests.local_hub import LocalHub, running_hub
from tests.unit.files.weights.stand_ins import header_bytes

TOKEN = "hf_0123456789planted"


def weights(size: int = 200_000) -> bytes:
    start, length = header_bytes({"w": [size]}, "U8")
    return start + bytes(length)


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    require_other_users()
    with running_hub(LocalHub(token=TOKEN)) as found:
        yield found


@pytest.fixture(scope="module")
def server(hub: LocalHub) -> Iterator[TrainingServer]:
    with service_directory() as place, separated_server(place, HF_ENDPOINT=hub.address) as started:
        yield started


def may(what: str, path: Path) -> bool:
    become = ["setpriv", f"--reuid={TRAINER}", f"--regid={TRAINER}", "--clear-groups", "--"]
    return subprocess.run([*become, "test", what, path], check=False).returncode == 0


def ended(server: TrainingServer, path: str) -> dict[str, Any]:
    def poll() -> dict[str, Any] | None:
        shown: dict[str, Any] = server.get(path)
        return shown if shown["status"] in ("completed", "failed") else None

    return dict(until(poll, LONG, f"{path} to end"))


def test_download_arrives_at_its_path(server: TrainingServer, hub: LocalHub):
    content = hub.add("o/m", "w.safetensors", weights())
    made = server.post("/models/download", 202, json={"repository": "o/m", "token": TOKEN})
    shown = ended(server, f"/models/download/{made['download_id']}")
    assert shown["status"] == "completed", shown["failure"]
    place = Path(shown["components"][0]["path"])
    assert place.read_bytes() == content
    # The trainer's user can read it, but not change it.
    assert (place.stat().st_uid, place.stat().st_gid) == (SERVICE, TRAINER)
    assert not may("-w", place)
    assert may("-r", place)
    found = server.post("/models/validate", 200, json={"path": str(place)})
    assert found["is_whole"]


def test_version_is_pushed(server: TrainingServer, hub: LocalHub):
    upload = {"name": "cats"}
    response = server.client.post("/api/v1/models/upload", data=upload, files={"file": ("cats.safetensors", weights())})
    assert response.status_code < 300, response.text
    until(lambda: server.client.get("/api/v1/models/registry/cats/versions/1").status_code == 200, LONG, "the version")
    asked = {"repository": "ann/cats", "token": TOKEN}
    made = server.post("/models/registry/cats/versions/1/push", 202, json=asked)
    shown = ended(server, f"/models/push/{made['push_id']}")
    assert shown["status"] == "completed", shown["failure"]
    assert hub.files["ann/cats"]["cats-v1.safetensors"] == weights()
