import json
from typing import Any

import pytest

from api.executors.fake import outcome
from api.jobs.kinds import PUSH_JOB
from tests.api.conftest import MakeWorld, World
from tests.api.test_registry import ARTIFACT, LORA, REGISTRY
from tests.unit.files.weights.stand_ins import write_stand_in

PUSH = f"{REGISTRY}/cats/versions/1/push"
PUSHES = "/api/v1/models/push"
ORDER = {"repository": "ann/cats", "license": "apache-2.0", "trigger": "ohwx cat"}


def make_version(world: World) -> None:
    task = world.finish()
    write_stand_in(world.output(task) / ARTIFACT, LORA)
    made = world.client.post(REGISTRY, json={"task_id": task, "artifact": ARTIFACT, "name": "cats"})
    assert made.status_code == 201, made.text


@pytest.fixture
def pushing(world: World) -> World:
    make_version(world)
    return world


def start(world: World, **body: Any) -> str:
    made = world.client.post(PUSH, json={**ORDER, **body})
    assert made.status_code == 202, made.text
    assert made.headers["location"].endswith(made.json()["data"]["push_id"])
    return str(made.json()["data"]["push_id"])


def test_push_is_a_task_with_file_and_card(pushing: World):
    push = start(pushing)
    assert push.startswith("push_")
    output = pushing.storage / "tasks" / push / "output"
    request = json.loads((output / "wish.json").read_text())
    assert [file["path"] for file in request["files"]] == ["cats-v1-epoch2.safetensors", "README.md"]
    assert (output / "weights.safetensors").stat().st_size == request["files"][0]["size"]
    assert "ohwx cat" in (output / "README.md").read_text()
    pushing.run_transfer(push)
    shown = pushing.client.data(f"{PUSHES}/{push}")
    assert (shown["status"], shown["model"], shown["version"], shown["commit"]) == ("pushing", "cats", 1, None)


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("https://huggingface.co/ann/cats", "https://huggingface.co/ann/cats"),
        ("https://huggingface.co.evil.org/ann/cats", None),
        ("javascript:alert(1)", None),
    ],
)
def test_finished_push_has_its_url_on_the_hub(pushing: World, result: str, shown: str | None):
    push = start(pushing)
    uid = pushing.run_transfer(push)
    output = pushing.output(push)
    (output / "run_1").mkdir()
    (output / "run_1" / "done.json").write_text("{}")
    state = {"files": [{"name": "w", "size": 9, "sent": 9, "status": "completed"}], "bytes_total": 9, "bytes_done": 9}
    done = {"commit": "c0ffee", "url": result, "is_new": True}
    (output / "state.json").write_text(json.dumps(state | done))
    pushing.executor.ends(uid, outcome(phrases=[PUSH_JOB.completed_phrase], last_step=0))
    pushing.train()
    found = pushing.client.data(f"{PUSHES}/{push}")
    assert (found["status"], found["url"], found["is_new"]) == ("completed", shown, True)
    listed = pushing.client.data("/api/v1/models/pushes")["pushes"]
    assert [(row["push_id"], row["repository"], row["commit"]) for row in listed] == [(push, "ann/cats", "c0ffee")]
    assert pushing.client.data("/api/v1/models/downloads")["downloads"] == []


def test_pushes_of_one_model_are_listed_by_its_name(pushing: World):
    push = start(pushing)
    listed = "/api/v1/models/pushes"
    found = pushing.client.data(f"{listed}?model=cats")
    assert ([row["push_id"] for row in found["pushes"]], found["pagination"]["total"]) == ([push], 1)
    assert pushing.client.data(f"{listed}?model=dogs")["pushes"] == []
    assert pushing.client.get(f"{listed}?model=a/b").json()["error"]["code"] == "validation_failed"


def test_version_that_is_pushed_is_not_deleted(pushing: World):
    push = start(pushing)
    refused = pushing.client.delete(f"{REGISTRY}/cats/versions/1")
    assert (refused.json()["error"]["code"], refused.json()["data"]["tasks"]) == ("version_in_use", [push])
    assert pushing.client.post(f"{PUSHES}/{push}/cancel").json()["message"] == "cancelled"
    assert pushing.client.delete(f"{REGISTRY}/cats/versions/1").status_code == 200


def test_token_is_in_the_secrets_file_only(pushing: World):
    push = start(pushing, token="hf_planted_secret")
    root = pushing.storage
    found = [path.name for path in root.rglob("*") if path.is_file() and b"hf_planted" in path.read_bytes()]
    assert found == ["secrets.json"]
    assert "hf_planted" not in pushing.client.get(f"{PUSHES}/{push}").text
    pushing.client.post(f"{PUSHES}/{push}/cancel")
    assert not (root / "tasks" / push / "secrets.json").exists()


@pytest.mark.parametrize(
    "body",
    [
        {"repository": "../../api"},
        {"repository": "ann/../../x"},
        {"repository": "ann/a..b"},
        {"repository": "ann/x.git"},
        {"repository": "ann/x--y"},
        {"repository": "x"},
        {"repository": "ann/x?y=1"},
        {"repository": "ann/cats", "path": "../x.safetensors"},
        {"repository": "ann/cats", "path": "README.md"},
        {"repository": "ann/cats", "license": "mit\nx: y"},
        {"repository": "ann/cats", "revision": "a/../b"},
        {"repository": "ann/cats", "endpoint": "http://elsewhere"},
    ],
)
def test_push_outside_the_repository_is_422(pushing: World, body: dict[str, Any]):
    refused = pushing.client.post(PUSH, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")


def test_missing_version_is_404(pushing: World):
    refused = pushing.client.post(f"{REGISTRY}/cats/versions/9/push", json=ORDER)
    assert refused.json()["error"]["code"] == "model_version_not_found"


def test_repeated_request_with_one_key_makes_one_task(pushing: World):
    made = [pushing.client.post(PUSH, json=ORDER, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert len({each.json()["data"]["push_id"] for each in made}) == 1


def test_push_is_visible_to_its_owner_only(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    make_version(ann)
    push = start(ann)
    assert bob.client.data("/api/v1/models/pushes")["pushes"] == []
    assert bob.client.get(f"{PUSHES}/{push}").json()["error"]["code"] == "task_not_found"
    assert bob.client.post(f"{PUSHES}/{push}/cancel").status_code == 404
    assert bob.client.post(PUSH, json=ORDER).status_code == 404
