"""Stored answers, which are sent while the database does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from api.app import create_app
from api.db.database import Database, note_read
from api.errors import DatabaseDamaged, DatabaseUnavailable
from api.util.clock import FakeClock
from api.util.deadlines import has_wait_limit
from api.util.text.ids import current_request_id
from tests.api.client import failure_of
from tests.api.conftest import TOY, TRAINING, MakeWorld, World


class Failure:
    """The error with which every transaction fails while it is set."""

    error: Exception | None = None


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Failure:
    away = Failure()
    for name in ("read", "write"):
        monkeypatch.setattr(Database, name, failing(getattr(Database, name), away))
    return away


def failing(use, away: Failure):
    @contextmanager
    def connect(self: Database, **how: Any) -> Iterator[Connection]:
        note_read()
        if away.error is not None:
            raise away.error
        with use(self, **how) as connection:
            yield connection

    return connect


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(make_world: MakeWorld, clock: FakeClock) -> World:
    return make_world(clock=clock)


@pytest.mark.parametrize("path", ["", "/progress", "/events", "/checkpoints", "/logs"])
def test_last_answer_is_repeated_with_its_age(world: World, away: Failure, clock: FakeClock, path: str):
    address = f"{TRAINING}/{world.start()}{path}"
    before = world.client.get(address)
    assert (before.status_code, "x-stale" in before.headers) == (200, False)
    away.error = DatabaseUnavailable(headers={"Retry-After": "2"})
    clock.advance(42)
    again = world.client.get(address)
    assert (again.status_code, again.json()) == (200, before.json())
    assert (again.headers["age"], again.headers["x-stale"]) == ("42", "database_unavailable")


def test_age_grows_while_the_database_stays_away(world: World, away: Failure, clock: FakeClock):
    world.client.get(f"{TRAINING}/list")
    away.error = DatabaseUnavailable()
    ages = []
    for _ in range(3):
        clock.advance(10)
        ages.append(world.client.get(f"{TRAINING}/list").headers["age"])
    assert ages == ["10", "20", "30"]


def test_other_query_has_no_stored_answer(world: World, away: Failure):
    world.client.get(f"{TRAINING}/list?limit=5")
    away.error = DatabaseUnavailable(headers={"Retry-After": "2"})
    answer = world.client.get(f"{TRAINING}/list?limit=6")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"] == "2"


def test_no_answer_is_older_than_the_users_own_change(world: World, away: Failure):
    world.client.get(f"{TRAINING}/list")
    assert world.client.post(f"{TRAINING}/start", json=TOY).status_code == 201
    away.error = DatabaseUnavailable()
    assert world.client.get(f"{TRAINING}/list").status_code == 503


def test_change_through_one_package_invalidates_answers_of_another(world: World, away: Failure):
    world.client.get(f"{TRAINING}/list")
    assert world.client.post("/api/v1/datasets", json={"name": "anns"}).status_code == 201
    away.error = DatabaseUnavailable()
    assert world.client.get(f"{TRAINING}/list").status_code == 503


def test_stop_accepted_without_the_database_is_a_change_too(world: World, away: Failure):
    task_id = world.run()
    world.get(task_id)
    away.error = DatabaseUnavailable()
    assert world.client.post(f"{TRAINING}/{task_id}/stop", json={"force": True}).status_code == 202
    assert world.client.get(f"{TRAINING}/{task_id}").status_code == 503


def test_rejected_change_leaves_stored_answers(world: World, away: Failure):
    world.client.get(f"{TRAINING}/list")
    away.error = DatabaseUnavailable()
    assert world.client.post(f"{TRAINING}/start", json=TOY).status_code == 503
    assert world.client.get(f"{TRAINING}/list").status_code == 200


def test_progress_of_a_training_invalidates_no_answers(world: World, away: Failure):
    task_id = world.run()
    world.get(task_id)
    world.note_progress()
    away.error = DatabaseUnavailable()
    assert world.client.get(f"{TRAINING}/{task_id}").headers["x-stale"] == "database_unavailable"


def test_404_is_not_stored(world: World, away: Failure):
    assert world.client.get(f"{TRAINING}/nobody").status_code == 404
    away.error = DatabaseUnavailable()
    assert world.client.get(f"{TRAINING}/nobody").status_code == 503


def test_downloads_are_not_stored(world: World, away: Failure):
    task_id = world.start()
    (world.output(task_id) / "a.txt").write_text("a")
    address = f"{TRAINING}/{task_id}/artifacts/a.txt"
    assert world.client.get(address).text == "a"
    away.error = DatabaseUnavailable()
    assert world.client.get(address).status_code == 503


def test_damaged_database_is_reported_instead_of_stale_answers(world: World, away: Failure):
    world.client.get(f"{TRAINING}/list")
    away.error = DatabaseDamaged()
    answer = world.client.get(f"{TRAINING}/list")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (503, "database_damaged")


def test_answers_are_current_again_when_the_database_answers(world: World, away: Failure):
    world.client.get(f"{TRAINING}/list")
    away.error = DatabaseUnavailable()
    world.client.get(f"{TRAINING}/list")
    away.error = None
    answer = world.client.get(f"{TRAINING}/list")
    assert (answer.status_code, "x-stale" in answer.headers, "age" in answer.headers) == (200, False, False)


def test_metrics_have_the_last_counts_with_their_age(world: World, away: Failure, clock: FakeClock):
    world.start()
    world.sweep()
    world.client.get("/metrics")
    away.error = DatabaseUnavailable()
    clock.advance(20)
    world.sweep()
    text = world.client.get("/metrics").text
    assert 'diffusion_pipe_trainings{status="queued"} 1.0' in text
    assert "diffusion_pipe_trainings_age_seconds 20.0" in text


def test_finished_request_leaves_nothing_in_memory(world: World):
    app = create_app(world.runtime.services)
    with app.test_client() as client:
        assert client.get("/api/v1/training/list").status_code == 200
    assert (has_wait_limit(), current_request_id.get()) == (False, "")
