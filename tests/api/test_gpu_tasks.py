"""The task registry over HTTP, from registration to release."""

import asyncio
import os
import re
from typing import Any

import httpx
import pytest

from api.domain.machines.reading import FaultKind
from api.gpus.sources import host
from api.gpus.sources.source import FakeSource, GPUFault
from tests.api.client import Client, failure_of
from tests.api.conftest import World

TASKS = "/api/v1/gpu/tasks"
NO_PID = 2**31 - 1


def register(
    client: Client, *gpu_ids: int | str, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    body = {"gpu_ids": list(gpu_ids), "task_type": "training", **fields}
    return client.post(TASKS, json=body, headers=headers or {})


def statuses(client: Client) -> list[str]:
    return [gpu["status"] for gpu in client.data("/api/v1/gpu/status")["gpus"]]


def test_task_goes_from_registration_to_release(client: Client):
    made = register(client, 0, 1, description="kohya")
    task = made.json()["data"]
    assert (made.status_code, made.json()["code"]) == (201, 201)
    assert re.fullmatch(r"train_\d{8}_[0-9a-z]{8}", task["task_id"])
    assert made.headers["location"] == f"{TASKS}/{task['task_id']}"
    assert (task["gpu_ids"], task["description"], task["progress"]) == ([0, 1], "kohya", None)
    assert statuses(client) == ["training", "training", "available", "available"]

    changed = client.patch(made.headers["location"], json={"progress": 42.5, "estimated_remaining_time": 600})
    assert changed.json()["data"]["progress"] == 42.5
    current = client.data("/api/v1/gpu/0")["current_task"]
    assert (current["task_id"], current["progress"], current["estimated_remaining_time"]) == (
        task["task_id"],
        42.5,
        600,
    )
    assert current["start_time"] == current["started_at"] == task["started_at"]
    assert client.data(made.headers["location"]) == changed.json()["data"]

    released = client.delete(made.headers["location"])
    assert (released.status_code, released.json()["data"]["task_id"]) == (200, task["task_id"])
    assert client.get(made.headers["location"]).status_code == 404
    assert statuses(client)[:2] == ["available", "available"]


@pytest.mark.parametrize(
    ("task_type", "kind", "status"),
    [
        ("training", "train", "training"),
        ("preprocessing", "preprocess", "preprocessing"),
        ("download", "dl", "busy"),
        ("external", "ext", "busy"),
    ],
)
def test_type_of_a_task_is_in_its_id_and_status(client: Client, task_type: str, kind: str, status: str):
    task = register(client, 0, task_type=task_type).json()["data"]
    assert task["task_id"].startswith(f"{kind}_")
    assert statuses(client)[0] == status


def test_gpus_can_be_named_by_index_and_uuid(client: Client):
    uuids = [gpu["uuid"] for gpu in client.data("/api/v1/gpu/status")["gpus"]]
    task = register(client, 0, uuids[2], "3").json()["data"]
    assert (task["gpu_ids"], task["gpu_uuids"]) == ([0, 2, 3], [uuids[0], uuids[2], uuids[3]])


def test_gpu_named_twice_is_held_once(client: Client):
    uuid = client.data("/api/v1/gpu/0")["uuid"]
    answer = register(client, 0, uuid, 0, "0")
    assert answer.status_code == 201
    assert answer.json()["data"]["gpu_uuids"] == [uuid]


def test_held_gpu_is_a_conflict_with_the_free_gpus(client: Client):
    uuid = client.data("/api/v1/gpu/1")["uuid"]
    register(client, 1, task_id="first")
    answer = register(client, 0, 1, task_id="second")
    assert answer.status_code == 409
    envelope = failure_of(answer)
    assert envelope["error"]["code"] == "gpu_busy"
    assert envelope["data"]["held_by"] == {uuid: "first"}
    assert envelope["data"]["available_gpus"] == [0, 2, 3]
    assert (envelope["data"]["gpu_id"], envelope["data"]["current_task"]["task_id"]) == (1, "first")
    assert statuses(client) == ["available", "training", "available", "available"]


def test_existing_task_id_is_a_conflict(client: Client):
    register(client, 0, task_id="mine")
    answer = register(client, 1, task_id="mine")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "task_exists")


@pytest.mark.parametrize("name", [99, "GPU-absent", "abc", 65535])
def test_missing_gpu_is_not_found(shared_client: Client, name: int | str):
    answer = register(shared_client, 0, name)
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (404, "gpu_not_found")
    assert shared_client.data(TASKS)["tasks"] == []


def test_lost_gpu_cannot_be_held(fake_world: World, source: FakeSource):
    source.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    answer = register(fake_world.client, 0)
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "gpu_lost")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"gpu_ids": []}, "/gpu_ids"),
        ({"gpu_ids": "0"}, "/gpu_ids"),
        ({"gpu_ids": None}, "/gpu_ids"),
        ({"gpu_ids": [0] * 513}, "/gpu_ids"),
        ({"gpu_ids": [-1]}, "/gpu_ids/0"),
        ({"gpu_ids": [0, 10**30]}, "/gpu_ids/1"),
        ({"gpu_ids": [0, 1.5]}, "/gpu_ids/1"),
        ({"gpu_ids": [True]}, "/gpu_ids/0"),
        ({"gpu_ids": [[0]]}, "/gpu_ids/0"),
        ({"gpu_ids": ["a/b"]}, "/gpu_ids/0"),
        ({"gpu_ids": [""]}, "/gpu_ids/0"),
        ({"task_type": "dancing"}, "/task_type"),
        ({"task_type": 1}, "/task_type"),
        ({"task_id": ""}, "/task_id"),
        ({"task_id": "../x"}, "/task_id"),
        ({"task_id": "a b"}, "/task_id"),
        ({"task_id": "a\n"}, "/task_id"),
        ({"task_id": "x" * 129}, "/task_id"),
        ({"description": "x" * 1001}, "/description"),
        ({"description": 5}, "/description"),
        ({"pid": 0}, "/pid"),
        ({"pid": -1}, "/pid"),
        ({"pid": 2**31}, "/pid"),
        ({"pid": 10**30}, "/pid"),
        ({"pid": "1"}, "/pid"),
        ({"pid": True}, "/pid"),
        ({"gpus": [0]}, "/gpus"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_invalid_field_is_rejected(shared_client: Client, fields: dict[str, Any], pointer: str):
    answer = register(shared_client, 0, **fields)
    assert answer.status_code == 422
    envelope = failure_of(answer)
    assert [mistake["pointer"] for mistake in envelope["error"]["errors"]] == [pointer]
    assert all(mistake["message"] for mistake in envelope["error"]["errors"])


def test_all_errors_are_reported_together(client: Client):
    answer = client.post(TASKS, json={"gpu_ids": [-1, "a/b"], "task_typ": "training", "pid": 0})
    pointers = {mistake["pointer"] for mistake in failure_of(answer)["error"]["errors"]}
    assert pointers == {"/gpu_ids/0", "/gpu_ids/1", "/task_type", "/task_typ", "/pid"}


def test_unknown_field_is_rejected_with_a_suggestion(client: Client):
    (mistake,) = failure_of(register(client, 0, descripton="x"))["error"]["errors"]
    assert (mistake["pointer"], mistake["message"]) == ("/descripton", 'unknown field; did you mean "description"?')
    assert mistake["message_code"]["params"] == {"similar": "description"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"progress": -1},
        {"progress": 100.1},
        {"progress": "50"},
        {"progress": True},
        {"estimated_remaining_time": -1},
        {"estimated_remaining_time": 1e10},
        {"percent": 5},
    ],
)
def test_invalid_progress_is_rejected(client: Client, body: dict[str, Any]):
    register(client, 0, task_id="mine")
    answer = client.patch(f"{TASKS}/mine", json=body)
    assert answer.status_code == 422
    assert failure_of(answer)["error"]["errors"]


def test_progress_changes_only_the_given_values(client: Client):
    register(client, 0, task_id="mine")
    client.patch(f"{TASKS}/mine", json={"progress": 10, "estimated_remaining_time": 60})
    task = client.patch(f"{TASKS}/mine", json={"progress": 0}).json()["data"]
    assert (task["progress"], task["estimated_remaining_time"]) == (0, 60)


def test_null_progress_is_unknown(client: Client):
    register(client, 0, task_id="mine")
    client.patch(f"{TASKS}/mine", json={"progress": 10, "estimated_remaining_time": 60})
    task = client.patch(f"{TASKS}/mine", json={"estimated_remaining_time": None}).json()["data"]
    assert (task["progress"], task["estimated_remaining_time"]) == (10, None)


@pytest.mark.parametrize(("method", "options"), [("GET", {}), ("DELETE", {}), ("PATCH", {"json": {"progress": 1}})])
@pytest.mark.parametrize("name", ["absent", "%2e%2e", "x" * 5000, "a%00b", "é"])
def test_missing_task_is_not_found(shared_client: Client, method: str, options: dict[str, Any], name: str):
    answer = shared_client.ask(method, f"{TASKS}/{name}", **options)
    assert answer.status_code == 404
    failure_of(answer)


# -- processes -----------------------------------------------------------------------------------------------------


def test_task_of_a_missing_process_is_a_conflict(client: Client):
    answer = register(client, 0, pid=NO_PID)
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "process_not_running")
    assert failure_of(answer)["data"] == {"pid": NO_PID}


def test_task_is_released_when_its_process_ends(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world.gpus._registry, "_is_running", lambda process: False)
    assert register(world.client, 0, pid=os.getpid(), task_id="mine").status_code == 201
    world.sweep()
    assert world.client.get(f"{TASKS}/mine").status_code == 404
    (event,) = world.client.data("/api/v1/gpu/events?type=task")["events"]
    assert "mine was released" in event["message"]


def test_task_stays_while_its_process_runs(world: World):
    register(world.client, 0, pid=os.getpid(), task_id="mine")
    world.sweep()
    assert world.client.data(f"{TASKS}/mine")["pid"] == os.getpid()
    assert host.process_identity(os.getpid()) is not None


# -- idempotency ---------------------------------------------------------------------------------------------------


def test_retry_with_the_same_key_gets_the_first_answer(client: Client):
    first, again = (register(client, 0, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert client.data(TASKS)["pagination"]["total"] == 1


def test_same_key_with_another_body_is_rejected(client: Client):
    register(client, 0, headers={"Idempotency-Key": "k-1"})
    answer = register(client, 1, headers={"Idempotency-Key": "k-1"})
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (422, "idempotency_key_reused")


def test_failure_is_not_stored_for_a_key(client: Client):
    register(client, 0, task_id="holder")
    assert register(client, 0, headers={"Idempotency-Key": "k-1"}).status_code == 409
    client.delete(f"{TASKS}/holder")
    assert register(client, 0, headers={"Idempotency-Key": "k-1"}).status_code == 201


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, b"a\xe9"])
def test_invalid_key_is_rejected(client: Client, key: bytes):
    answer = client.post(TASKS, json={"gpu_ids": [0], "task_type": "training"}, headers={b"Idempotency-Key": key})
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert "255" in mistake["message"]


def test_concurrent_retries_create_one_task(client: Client):
    async def ask_all() -> list[httpx.Response]:
        body = {"gpu_ids": [0], "task_type": "training"}
        requests = (client.send("POST", TASKS, json=body, headers={"Idempotency-Key": "k-1"}) for _ in range(64))
        return await asyncio.gather(*requests)

    answers = client.run(ask_all())
    made = {answer.json()["data"]["task_id"] for answer in answers if answer.status_code == 201}
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(made) == 1
    assert client.data(TASKS)["pagination"]["total"] == 1
    assert all(
        failure_of(answer)["error"]["code"] == "request_in_progress" and answer.headers["retry-after"]
        for answer in answers
        if answer.status_code == 409
    )


def test_concurrent_claims_give_each_gpu_one_holder(client: Client):
    async def ask_all() -> list[httpx.Response]:
        bodies = [{"gpu_ids": [n % 4], "task_type": "training", "task_id": f"t{n}"} for n in range(64)]
        return await asyncio.gather(*(client.send("POST", TASKS, json=body) for body in bodies))

    answers = client.run(ask_all())
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 60
    held = [gpu["current_task"]["task_id"] for gpu in client.data("/api/v1/gpu/status")["gpus"]]
    assert sorted(held) == sorted(a.json()["data"]["task_id"] for a in answers if a.status_code == 201)


# -- pages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowded(make_world) -> Client:
    client = make_world(simulated_gpus="8x NVIDIA L40S").client
    for number in range(8):
        register(client, number, task_id=f"t{number}")
    return client


def ids(page: dict[str, Any]) -> list[str]:
    return [task["task_id"] for task in page["tasks"]]


def test_page_by_offset_has_its_position(crowded: Client):
    page = crowded.data(f"{TASKS}?limit=3&offset=3")
    assert ids(page) == ["t3", "t4", "t5"]
    assert {**page["pagination"], "next_cursor": None} == {
        "total": 8,
        "limit": 3,
        "offset": 3,
        "has_more": True,
        "next_cursor": None,
    }


def test_cursor_skips_no_task_when_seen_ones_are_removed(crowded: Client):
    page = crowded.data(f"{TASKS}?limit=2")
    seen = ids(page)
    while page["pagination"]["next_cursor"]:
        crowded.delete(f"{TASKS}/{seen[-1]}")
        page = crowded.data(TASKS, params={"limit": 2, "cursor": page["pagination"]["next_cursor"]})
        seen += ids(page)
    assert seen == [f"t{number}" for number in range(8)]


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "offset=-1", "offset=x", f"offset={10**30}"])
def test_invalid_page_is_rejected(shared_client: Client, query: str):
    answer = shared_client.get(f"{TASKS}?{query}")
    assert answer.status_code == 422
    failure_of(answer)


def test_secret_in_a_description_is_masked(client: Client):
    task = register(client, 0, description="token=hf_PLANTED0123456789abcdef").json()["data"]
    assert task["description"] == "token=***"
