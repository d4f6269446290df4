import json
from collections.abc import Callable
from typing import Any

import pytest

from api.catalog.transfers import tasks as transfers
from api.executors.fake import outcome
from api.jobs.kinds import DOWNLOAD_JOB
from api.training.records.task_store import TaskStore
from tests.api.conftest import MakeWorld, World

DOWNLOAD = "/api/v1/models/download"
ORDER = {"repository": "o/m", "files": ["a.safetensors"]}


def start(world: World, **body: Any) -> str:
    made = world.client.post(DOWNLOAD, json=body or ORDER)
    assert made.status_code == 202, made.text
    assert made.headers["location"].endswith(made.json()["data"]["download_id"])
    return str(made.json()["data"]["download_id"])


def test_download_is_a_task_with_its_files(world: World):
    download = start(world)
    assert world.client.data(f"{DOWNLOAD}/{download}")["status"] == "queued"
    world.run_transfer(download)
    output = world.storage / "tasks" / download / "output"
    assert json.loads((output / "wish.json").read_text())["repositories"][0]["include"] == ["a.safetensors"]
    files = [{"name": "a", "directory": "o/m", "size": 100, "downloaded": 25, "path": None, "status": "downloading"}]
    state = {"files": files, "bytes_total": 100, "bytes_done": 25, "bytes_per_second": 5.0, "eta": 15.0}
    (output / "state.json").write_text(json.dumps(state))
    shown = world.client.data(f"{DOWNLOAD}/{download}")
    assert (shown["status"], shown["bytes_done"], shown["eta"], shown["speed"]) == ("downloading", 25, 15.0, 5.0)
    assert (shown["components"][0]["progress"], shown["components"][0]["repository"]) == (25.0, "o/m")


def test_download_by_url_has_the_name_of_its_file_and_a_waiting_reason(world: World):
    download = start(world, url="https://files.example/models/ae.safetensors?x=1", sha256="0" * 64)
    shown = world.client.data(f"{DOWNLOAD}/{download}")
    assert shown["name"] == "ae.safetensors"
    assert (shown["waiting_reason"] is None) is (shown["waiting_reason_code"] is None)
    assert shown["waiting_reason_code"]["code"] == "just_queued"


def test_repeated_problem_is_shown_once(world: World):
    download = start(world)
    world.run_transfer(download)
    (world.output(download) / "run_1").mkdir()
    world.prints(download, "problem: it is away\n" * 3 + "problem: it is busy\n")
    world.train()
    assert world.client.data(f"{DOWNLOAD}/{download}")["warnings"] == ["it is away", "it is busy"]


def test_log_shows_the_text_of_a_message_and_finds_it(world: World):
    download = start(world)
    world.run_transfer(download)
    (world.output(download) / "run_1").mkdir()
    world.prints(download, '{"dp": "warning", "message": "The hub is busy."}\n')
    world.train()
    [line] = world.client.data(f"/api/v1/training/{download}/logs")["logs"]
    assert (line["level"], line["message"]) == ("warning", "The hub is busy.")
    [hit] = world.client.data(f"/api/v1/training/{download}/logs/search?keyword=hub is")["results"]
    assert hit["message"][hit["match_start"] : hit["match_end"]] == "hub is"


def assert_cancelled(world: World, download: str) -> None:
    """Cancel a download that does not run, and check that its incomplete files are removed."""
    incoming, key = world.storage / "models" / ".incoming", "a" * 64
    incoming.mkdir(parents=True)
    (incoming / f"{key}.part").write_bytes(b"half")
    (world.output(download) / "state.json").write_text(f'{{"files": [{{"name": "w", "part": "{key}"}}, 3]}}')
    abandoned = world.client.post(f"{DOWNLOAD}/{download}/cancel")
    assert (abandoned.status_code, abandoned.json()["data"]["status"]) == (202, "cancelled")
    assert abandoned.json()["message"] == "cancelled"
    assert list(incoming.iterdir()) == []


def test_paused_download_is_resumed_and_a_cancelled_one_is_not(world: World):
    download = start(world)
    uid = world.run_transfer(download)
    (world.output(download) / "run_1").mkdir()
    world.prints(download, '{"dp": "progress", "step": 0, "total": 1, "percent": 3.0, "message": "0 of 1 files"}\n')
    world.train()
    paused = world.client.post(f"{DOWNLOAD}/{download}/pause")
    assert (paused.status_code, paused.json()["message"]) == (202, "stopping")
    (world.output(download) / "run_1" / "stopped.json").write_text("{}")
    world.executor.ends(uid, outcome(phrases=[DOWNLOAD_JOB.stopped_phrase], last_step=0))
    world.train()
    assert world.client.data(f"{DOWNLOAD}/{download}")["status"] == "paused"
    assert_cancelled(world, download)
    (world.output(download) / "cancelled").unlink()
    again = world.client.post(f"{DOWNLOAD}/{download}/resume")
    assert (again.status_code, again.json()["data"]["status"]) == (202, "queued")
    assert world.client.post(f"{DOWNLOAD}/{download}/resume").json()["error"]["code"] == "task_active"
    cancelled = world.client.post(f"{DOWNLOAD}/{download}/cancel")
    assert cancelled.json()["data"]["status"] == "cancelled"
    assert world.client.post(f"{DOWNLOAD}/{download}/resume").status_code == 409


def test_queued_download_is_paused_immediately(world: World):
    download = f"{DOWNLOAD}/{start(world)}"
    assert world.client.post(f"{download}/pause").json()["message"] == "paused"
    assert world.client.post(f"{download}/cancel").json()["message"] == "cancelled"
    assert world.client.post(f"{download}/cancel").json()["message"] == "cancelled"


def test_cancellation_wins_over_a_concurrent_resume(world: World, monkeypatch: pytest.MonkeyPatch):
    """Each request reads before the other has written, in both orders."""
    service, download = world.runtime.services.catalog.downloads, start(world)
    world.client.post(f"{DOWNLOAD}/{download}/pause")
    mark = world.output(download) / "cancelled"
    within(monkeypatch, TaskStore, "enqueue_again", lambda: mark.write_text("{}"))
    assert world.client.post(f"{DOWNLOAD}/{download}/resume").status_code == 409
    assert world.client.data(f"{DOWNLOAD}/{download}")["status"] == "cancelled"
    mark.unlink()
    within(monkeypatch, transfers, "write", lambda: service.resume(download, "bob"))
    assert world.client.post(f"{DOWNLOAD}/{download}/cancel").json()["message"] == "cancelled"
    assert world.client.data(f"{DOWNLOAD}/{download}")["status"] == "cancelled"


def within(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, meanwhile: Callable[[], object]) -> None:
    """Call `meanwhile` once, just before this function."""
    real = getattr(place, name)

    def late(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(place, name, real)
        meanwhile()
        return real(*given, **named)

    monkeypatch.setattr(place, name, late)


def test_token_is_in_the_secrets_file_only(world: World):
    download = start(world, **ORDER, token="hf_planted_secret")
    root = world.storage / "tasks" / download
    found = [path.name for path in root.rglob("*") if path.is_file() and b"hf_planted" in path.read_bytes()]
    assert found == ["secrets.json"]
    assert "hf_planted" not in world.client.get(f"{DOWNLOAD}/{download}").text
    world.client.post(f"{DOWNLOAD}/{download}/cancel")
    assert not (root / "secrets.json").exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"repository": "o/m", "model_id": "flux"},
        {"url": "https://h/x"},
        {"url": "file:///etc/passwd", "sha256": "0" * 64},
        {"repository": "../m"},
        {"repository": "o/m\n"},
        {"url": "https://ann:secret@h/x", "sha256": "0" * 64},
        {"url": "https://h/x", "sha256": "0" * 64 + "\n"},
        {"url": "https://h:65536/x", "sha256": "0" * 64},
        {"url": "https://h:0/x", "sha256": "0" * 64},
        {"url": "https://h:port/x", "sha256": "0" * 64},
        {"url": "https://[::1/x", "sha256": "0" * 64},
        {"url": "https://:80/x", "sha256": "0" * 64},
    ],
)
def test_invalid_request_is_422(shared_world: World, body: dict[str, Any]):
    refused = shared_world.client.post(DOWNLOAD, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")


HOSTS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "[fec0::1]",
    "[5f00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "localhost:8080", "a.localhost.",
    "169.254.169.254", "10.0.0.1", "%31%32%37.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_private_ip_address_is_rejected_immediately(shared_world: World, host: str):
    refused = shared_world.client.post(DOWNLOAD, json={"url": f"http://{host}/x.safetensors", "sha256": "0" * 64})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")
    assert refused.json()["error"]["errors"][0]["pointer"] == "/url"
    assert "PRIVATE_HOSTS_ALLOWED" in refused.text
    assert shared_world.client.data("/api/v1/models/downloads")["downloads"] == []


QUERIES = ["?token=PLANTED", "?a=b&api_key=PLANTED", "?X-Amz-Signature=PLANTED", "?%74oken=PLANTED", "#sig=PLANTED"]


@pytest.mark.parametrize("query", QUERIES)
def test_credential_in_a_url_is_rejected_and_not_repeated(shared_world: World, query: str):
    refused = shared_world.client.post(DOWNLOAD, json={"url": f"https://h.example/x{query}", "sha256": "0" * 64})
    assert (refused.status_code, refused.json()["error"]["errors"][0]["pointer"]) == (422, "/url")
    assert "`token`" in refused.json()["error"]["errors"][0]["message"]
    assert "PLANTED" not in refused.text


def test_token_of_a_url_is_in_the_secrets_file_only(world: World):
    body = {"url": "https://civitai.example/api/download/models/1?type=Model", "sha256": "0" * 64}
    download = start(world, **body, token="civitai_planted")
    root = world.storage
    found = [path.name for path in root.rglob("*") if path.is_file() and b"civitai_planted" in path.read_bytes()]
    assert found == ["secrets.json"]
    assert json.loads((root / "tasks" / download / "secrets.json").read_text()) == {"ADDRESS_TOKEN": "civitai_planted"}
    assert "civitai_planted" not in world.client.get(f"{DOWNLOAD}/{download}").text


def test_downloads_are_not_listed_as_trainings_and_visible_to_their_owner_only(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    download = start(ann)
    assert [each["download_id"] for each in ann.client.data("/api/v1/models/downloads")["downloads"]] == [download]
    assert bob.client.data("/api/v1/models/downloads")["downloads"] == []
    assert bob.client.get(f"{DOWNLOAD}/{download}").json()["error"]["code"] == "task_not_found"
    assert bob.client.post(f"{DOWNLOAD}/{download}/cancel").status_code == 404
    assert ann.client.data("/api/v1/training/list")["tasks"] == []
    viewer = world.signed_in("vera", "viewer").client
    assert viewer.post(DOWNLOAD, json=ORDER).status_code == 403


def test_repeated_request_with_one_key_makes_one_task(world: World):
    made = [world.client.post(DOWNLOAD, json=ORDER, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert len({each.json()["data"]["download_id"] for each in made}) == 1


def test_downloads_count_towards_the_quota_of_their_owner(make_world: MakeWorld):
    world = make_world(auth="required", quota_storage_gb=0.000_2)
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    download = start(ann)
    meter = world.runtime.quotas.meter  # type: ignore[union-attr]
    meter.measure()
    allowed = json.loads((world.output(download) / "allowance.json").read_text())["bytes"]
    assert 0 < allowed < 220_000
    place = world.storage / "models" / "o" / "m" / "a.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x" * 300_000)
    state = {"files": [{"name": "a.safetensors", "path": str(place), "part": "a" * 64}]}
    (world.output(download) / "state.json").write_text(json.dumps(state))
    meter.measure()
    assert json.loads((world.output(download) / "allowance.json").read_text())["bytes"] < 0
    refused = ann.client.post(DOWNLOAD, json=ORDER)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "quota_exceeded")
    assert "downloads take" in refused.text
    ann.client.post(f"{DOWNLOAD}/{download}/pause")
    assert ann.client.post(f"{DOWNLOAD}/{download}/resume").json()["error"]["code"] == "quota_exceeded"
    start(bob)
