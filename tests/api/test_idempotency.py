"""Retries of a start create no second training."""

import asyncio

import httpx
import pytest

from tests.api.client import Client, failure_of
from tests.api.conftest import TOY, TRAINING, MakeWorld, World

START = f"{TRAINING}/start"
KEY = {"Idempotency-Key": "k-1"}


def count(client: Client) -> int:
    total: int = client.data(f"{TRAINING}/list")["pagination"]["total"]
    return total


def test_same_key_and_body_get_the_first_response_again(client: Client):
    first = client.post(START, json=TOY, headers=KEY)
    again = client.post(START, json=TOY, headers=KEY)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert count(client) == 1


@pytest.mark.parametrize("body", [{**TOY, "priority": 1}, {"model_type": "toy"}])
def test_same_key_with_another_body_is_refused(client: Client, body: dict):
    client.post(START, json=TOY, headers=KEY)
    answer = client.post(START, json=body, headers=KEY)
    assert answer.status_code == 422
    assert failure_of(answer)["error"]["code"] == "idempotency_key_reused"
    assert count(client) == 1


def test_key_survives_a_restart_of_the_service(make_world: MakeWorld):
    world = make_world()
    first = world.client.post(START, json=TOY, headers=KEY)
    world.runtime.stop()
    world = make_world()
    again = world.client.post(START, json=TOY, headers=KEY)
    assert (again.status_code, again.content) == (201, first.content)
    other = world.client.post(START, json={**TOY, "priority": 1}, headers=KEY)
    assert other.status_code == 422
    assert count(world.client) == 1


def test_task_whose_response_was_lost_is_found_by_its_key(world: World):
    first = world.client.post(START, json=TOY, headers=KEY).json()["data"]["task_id"]
    with world.runtime.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM kept_answers")
    again = world.client.post(START, json=TOY, headers=KEY)
    assert (again.status_code, again.json()["data"]["task_id"]) == (201, first)
    assert [path.name for path in (world.storage / "tasks").glob("*")] in ([], [first])


def test_unqueued_task_is_found_by_its_key_while_it_holds_its_gpus(world: World):
    body = {**TOY, "queue": False, "gpu_count": 4}
    first = world.client.post(START, json=body, headers=KEY).json()["data"]["task_id"]
    with world.runtime.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM kept_answers")
    again = world.client.post(START, json=body, headers=KEY)
    assert (again.status_code, again.json()["data"]["task_id"]) == (201, first)


def test_error_is_not_stored(world: World):
    busy = world.run(gpu_count=4)
    body = {**TOY, "queue": False}
    assert world.client.post(START, json=body, headers=KEY).status_code == 409
    world.end(busy)
    assert world.client.post(START, json=body, headers=KEY).status_code == 201


def test_key_belongs_to_a_route(world: World):
    done = world.finish()
    assert world.client.post(START, json=TOY, headers=KEY).status_code == 201
    answer = world.client.post(f"{TRAINING}/restart/{done}", headers=KEY)
    assert answer.status_code == 201
    assert answer.json()["data"]["restarted_from"] == done
    assert count(world.client) == 3


def test_restart_is_retried_safely(world: World):
    done = world.finish()
    first = world.client.post(f"{TRAINING}/restart/{done}", headers=KEY)
    again = world.client.post(f"{TRAINING}/restart/{done}", headers=KEY)
    assert (again.status_code, again.content) == (201, first.content)
    assert count(world.client) == 2


def test_restart_of_another_task_with_the_same_key_is_refused(world: World):
    one, other = world.finish(), world.finish()
    world.client.post(f"{TRAINING}/restart/{one}", headers=KEY)
    answer = world.client.post(f"{TRAINING}/restart/{other}", headers=KEY)
    assert answer.status_code == 422
    assert failure_of(answer)["error"]["code"] == "idempotency_key_reused"


def test_many_concurrent_retries_create_one_training(client: Client):
    async def ask_all() -> list[httpx.Response]:
        return await asyncio.gather(*(client.send("POST", START, json=TOY, headers=KEY) for _ in range(32)))

    answers = client.run(ask_all())
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = {answer.json()["data"]["task_id"] for answer in answers if answer.status_code == 201}
    assert len(made) == count(client) == 1
    assert all(
        failure_of(answer)["error"]["code"] == "request_in_progress" and answer.headers["retry-after"]
        for answer in answers
        if answer.status_code == 409
    )


def test_many_concurrent_starts_without_a_queue_get_each_gpu_once(client: Client):
    async def ask_all() -> list[httpx.Response]:
        body = {**TOY, "queue": False}
        return await asyncio.gather(*(client.send("POST", START, json=body) for _ in range(16)))

    answers = client.run(ask_all())
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 12
    given = [answer.json()["data"]["gpu_ids"] for answer in answers if answer.status_code == 201]
    assert sorted(given) == [[0], [1], [2], [3]]


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, b"a\xe9"])
def test_malformed_key_is_rejected(client: Client, key: bytes):
    answer = client.post(START, json=TOY, headers={b"Idempotency-Key": key})
    assert answer.status_code == 422
    assert count(client) == 0


def test_longest_key_is_accepted(client: Client):
    assert client.post(START, json=TOY, headers={"Idempotency-Key": "x" * 255}).status_code == 201


def test_same_key_of_another_user_is_another_request(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    first = ann.client.post(START, json=TOY, headers=KEY)
    other = bob.client.post(START, json=TOY, headers=KEY)
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["data"]["task_id"] != other.json()["data"]["task_id"]
    assert "idempotent-replayed" not in other.headers


def test_user_may_repeat_a_request_with_another_access_key(make_world: MakeWorld):
    world = make_world(auth="required")
    first = world.signed_in("ann").client.post(START, json=TOY, headers=KEY)
    again = world.signed_in("ann").client.post(START, json=TOY, headers=KEY)
    assert (again.status_code, again.content) == (201, first.content)


def test_task_of_another_user_is_not_found_by_its_key(make_world: MakeWorld):
    world = make_world(auth="required")
    first = world.signed_in("ann").client.post(START, json=TOY, headers=KEY).json()["data"]["task_id"]
    with world.runtime.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM kept_answers")
    other = world.signed_in("bob").client.post(START, json=TOY, headers=KEY).json()["data"]["task_id"]
    assert other != first


def test_key_is_stored_as_a_hash(world: World):
    world.client.post(START, json=TOY, headers={"Idempotency-Key": "my-password"})
    with world.runtime.database.read() as connection:
        stored = connection.exec_driver_sql("SELECT scope FROM kept_answers").scalar_one()
        of_task = connection.exec_driver_sql("SELECT idempotency_key FROM tasks").scalar_one()
    assert stored == of_task
    assert len(stored) == 64
