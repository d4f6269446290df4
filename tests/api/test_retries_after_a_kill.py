"""After a kill, a retry with the same Idempotency-Key returns the resource that the first request created."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.datasets.records.dataset_store import DatasetStore
from api.domain.access.principal import Role
from api.errors import DatabaseUnavailable
from tests.api.conftest import TOY, TRAINING, MakeWorld, World
from tests.api.datasets import add_version
from tests.api.test_model_uploads import LORA, weights
from tests.api.test_registry import ARTIFACT, REGISTRY
from tests.api.uploads import TUS, UPLOADS, encode, picture
from tests.unit.files.weights.stand_ins import write_stand_in

API = "/api/v1"
KEY = {"Idempotency-Key": "k-1"}
RULE = {
    "rule_id": "hot",
    "title": "hot",
    "scope": "gpu",
    "metric": "temperature_gpu",
    "comparison": "above",
    "value": 85,
    "summary": "It is hot.",
}
CHANNEL = {"name": "hook", "kind": "webhook", "url": "https://8.8.8.8/x"}
UNTIL = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
SILENCE = {"matchers": [{"label": "rule_id", "value": "hot"}], "until": UNTIL, "comment": "quiet"}

Ask = Callable[[World], httpx.Response]


def lose_answers(world: World) -> None:
    """Set the stored keys to the state after a kill between the transaction and the answer."""
    with world.runtime.database.write() as connection:
        connection.exec_driver_sql("UPDATE kept_answers SET owner = '', status = NULL, body = NULL, headers = NULL")


def post(path: str, body: Any = None, **headers: str) -> Ask:
    return lambda world: world.client.post(f"{API}{path}", json=body, headers={**KEY, **headers})


def begin_upload(world: World) -> httpx.Response:
    said = {"Upload-Length": "10", "Upload-Metadata": encode(dataset="cats", filename="a.png")}
    return world.client.ask("POST", UPLOADS, headers={**TUS, **KEY, **said})


def send_form(world: World) -> httpx.Response:
    return world.client.post(f"{API}/preprocess/upload", files={"file": ("x.png", picture())}, headers=KEY)


def restore(world: World) -> httpx.Response:
    if world.client.get(f"{API}/datasets/cats").status_code == 404:
        world.client.post(f"{API}/datasets", json={"name": "cats"})
        for caption in ("one", "two"):
            add_version(world, {"a.png": caption})
    return world.client.post(f"{API}/datasets/cats/versions/1/restore", headers=KEY)


def cache_ahead(world: World) -> httpx.Response:
    if world.client.get(f"{API}/datasets/cats").status_code == 404:
        world.client.post(f"{API}/datasets", json={"name": "cats"})
        add_version(world, {"a.png": "one"})
    body = {**TOY, "dataset": {"directories": [{"dataset": "cats"}]}}
    return world.client.post(f"{TRAINING}/cache", json=body, headers=KEY)


def split(world: World) -> httpx.Response:
    if world.client.get(f"{API}/datasets/cats").status_code == 404:
        world.client.post(f"{API}/datasets", json={"name": "cats"})
        add_version(world, {"a.png": "one", "b.png": "two"})
    items = world.client.data(f"{API}/datasets/cats/items?version=1")["items"]
    body = {"items": [items[0]["item_id"]], "into": "dogs"}
    return world.client.post(f"{API}/datasets/cats/split", json=body, headers=KEY)


def _make_model(world: World) -> str:
    task = next(iter(world.client.data(f"{TRAINING}/list")["tasks"]), {}).get("task_id") or world.finish()
    write_stand_in(world.output(task) / ARTIFACT, LORA)
    return task


def register_model(world: World) -> httpx.Response:
    body = {"task_id": _make_model(world), "artifact": ARTIFACT, "name": "cats"}
    return world.client.post(REGISTRY, json=body, headers=KEY)


def write_metadata(world: World) -> httpx.Response:
    if world.client.get(f"{REGISTRY}/cats").status_code == 404:
        body = {"task_id": _make_model(world), "artifact": ARTIFACT, "name": "cats"}
        world.client.post(REGISTRY, json=body)
    return world.client.post(f"{REGISTRY}/cats/versions/1/metadata", json={"trigger": "tok"}, headers=KEY)


def add_sample(world: World) -> httpx.Response:
    write_metadata(world)
    form = {"files": {"file": ("x.png", picture())}}
    return world.client.post(f"{REGISTRY}/cats/versions/1/samples", headers=KEY, **form)


def upload_model(world: World) -> httpx.Response:
    form = {"files": {"file": ("x.safetensors", weights())}, "data": {"name": "cats"}}
    return world.client.post(f"{API}/models/upload", headers=KEY, **form)


@pytest.mark.usefixtures("shared_decoder")
@pytest.mark.parametrize(
    ("ask", "listed"),
    [
        (post("/datasets", {"name": "cats"}), "/datasets"),
        (restore, "/datasets/cats/versions"),
        (split, "/datasets/cats/versions"),
        (post("/training/start", TOY), "/training/list"),
        (post("/training/start", {**TOY, "queue": False, "gpu_count": 4}), "/training/list"),
        (cache_ahead, "/training/list?kind=cache"),
        (post("/training/rehearse", TOY), "/training/list?kind=rehearse"),
        (post("/system/holds", {"reason": "test"}), None),
        (post("/gpu/tasks", {"gpu_ids": [0], "task_type": "external", "task_id": "mine"}), None),
        (post("/alerts/rules", RULE), None),
        (post("/alerts/channels", CHANNEL), None),
        (post("/alerts/silences", SILENCE), "/alerts/silences"),
        (begin_upload, "/uploads"),
        (send_form, "/preprocess/list"),
        (register_model, "/models/registry/cats/versions"),
        (write_metadata, "/models/registry/cats/versions"),
        (add_sample, "/models/registry/cats/versions/1/samples"),
        (upload_model, "/uploads"),
    ],
)
def test_retry_after_a_kill_returns_the_created_resource(world: World, ask: Ask, listed: str | None):
    first = ask(world)
    assert first.status_code in (201, 202), first.text
    count = None if listed is None else world.client.data(f"{API}{listed}")["pagination"]["total"]
    lose_answers(world)
    again = ask(world)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (first.status_code, "true"), again.text
    assert again.headers.get("location") == first.headers.get("location")
    assert set(again.json()["data"]) == set(first.json()["data"])
    if ask is split:
        assert again.json()["data"] == first.json()["data"]
    if listed is not None:
        assert world.client.data(f"{API}{listed}")["pagination"]["total"] == count
    assert ask(world).content == again.content


def test_retry_of_a_restart_after_a_kill_makes_no_second_training(world: World):
    done = world.finish()
    first = world.client.post(f"{TRAINING}/restart/{done}", headers=KEY)
    lose_answers(world)
    again = world.client.post(f"{TRAINING}/restart/{done}", headers=KEY)
    assert again.json()["data"]["task_id"] == first.json()["data"]["task_id"]


def test_retry_of_a_request_that_failed_after_its_creation_returns_the_resource(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any) -> Any:
        raise DatabaseUnavailable

    create = DatasetStore.create
    with monkeypatch.context() as patch:
        patch.setattr(DatasetStore, "create", lambda *given: (create(*given), fail()))
        assert post("/datasets", {"name": "cats"})(world).status_code == 503
    again = post("/datasets", {"name": "cats"})(world)
    assert (again.status_code, again.json()["data"]["name"]) == (201, "cats")


def test_retry_of_a_new_key_after_a_kill_shows_a_valid_secret(make_world: MakeWorld):
    world = make_world(auth="required")
    root = world.signed_in("root", Role.ADMIN).client
    path, body = f"{API}/auth/generate-key", {"user_id": "ann", "role": "trainer"}
    first = root.post(path, json=body, headers=KEY).json()["data"]
    lose_answers(world)
    again = root.post(path, json=body, headers=KEY).json()["data"]
    assert again["key_id"] == first["key_id"]
    assert [whoami(world, each["api_key"]) for each in (first, again)] == [401, 200]
    world.runtime.access.ring._note_used()
    lose_answers(world)
    assert root.post(path, json=body, headers=KEY).json()["data"]["api_key"] is None
    assert whoami(world, again["api_key"]) == 200
    assert len(root.data(f"{API}/auth/keys?user_id=ann")["keys"]) == 1


def test_retry_of_a_rotation_after_a_kill_shows_the_successor(make_world: MakeWorld):
    world = make_world(auth="required")
    root = world.signed_in("root", Role.ADMIN).client
    old = root.post(f"{API}/auth/generate-key", json={"user_id": "ann", "role": "trainer"}).json()["data"]
    path = f"{API}/auth/keys/{old['key_id']}/rotate"
    first = root.post(path, headers=KEY).json()["data"]
    lose_answers(world)
    again = root.post(path, headers=KEY).json()["data"]
    assert again["key_id"] == first["key_id"] != old["key_id"]
    assert whoami(world, again["api_key"]) == 200


def whoami(world: World, key: str) -> int:
    shown = {"Authorization": f"Bearer {key}"}
    return world.client.get(f"{API}/auth/whoami", headers=shown).status_code
