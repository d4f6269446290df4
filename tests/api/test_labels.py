"""Every label of a task through start, list, search, change, events, audit, resume, restart, copy and sweep."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from api.domain.tasks.labels import LABELS, SEARCHED, ListedLabels
from api.executors.fake import outcome
from api.training.label_schemas import PatchLabels, ResumeLabels, StartLabels
from tests.api.conftest import TRAINING, World

#: Two values of each label.
VALUES: dict[str, tuple[Any, Any]] = {
    "name": ("first name", "second name"),
    "description": ("first description", "second description"),
    "tags": (["first tag"], ["second tag"]),
    "notes": ("first notes", "second notes"),
    "trigger_word": ("first word", "second word"),
    "priority": (3, 5),
    "priority_class": ("background", "normal"),
    "not_before": ("2031-01-01T08:00:00Z", "2032-01-01T08:00:00Z"),
}
FIRST = {name: first for name, (first, _) in VALUES.items()}
#: Without the time, so that it can start.
STARTABLE = {name: value for name, value in FIRST.items() if name != "not_before"}

label = pytest.mark.parametrize("name", LABELS)


@pytest.fixture
def waiting(world: World) -> str:
    """A queued training with a value of every label."""
    return world.start(**FIRST)


@pytest.fixture
def ended(world: World) -> str:
    """A failed training with a checkpoint and labels that were changed while it ran."""
    task_id = world.run(**STARTABLE)
    world.make_checkpoints(task_id, 10, 20)
    for name, (_, second) in VALUES.items():
        change(world, task_id, name, second)
    return world.end(task_id, outcome(exit_code=1))


def change(world: World, task_id: str, name: str, value: Any) -> dict[str, Any]:
    answer = world.client.patch(f"{TRAINING}/{task_id}", json={name: value})
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()["data"]
    return changed


def post(world: World, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = world.client.post(f"{TRAINING}/{path}", json=body or {})
    assert answer.status_code in (201, 202), answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


def listed(world: World, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.client.get(f"{TRAINING}/list", params=query).json()["data"]["tasks"]
    return found


def test_every_label_has_values_here_and_is_in_requests():
    assert VALUES.keys() == set(LABELS)
    assert set(StartLabels.model_fields) == set(PatchLabels.model_fields) == set(LABELS)
    assert set(ResumeLabels.model_fields) < set(LABELS)


@label
def test_start_sets_it_and_details_and_their_request_show_it(world: World, waiting: str, name: str):
    task = world.get(waiting)
    assert task[name] == task["request"][name] == FIRST[name]


@pytest.mark.parametrize("name", [each.name for each in fields(ListedLabels)])
def test_list_shows_it(world: World, waiting: str, name: str):
    (row,) = listed(world)
    assert row[name] == FIRST[name]


@pytest.mark.parametrize("name", SEARCHED)
def test_search_finds_it(world: World, waiting: str, name: str):
    first, second = (value[0] if isinstance(value, list) else value for value in VALUES[name])
    assert [row["task_id"] for row in listed(world, search=first)] == [waiting]
    assert listed(world, search=second) == []


def test_every_text_is_searched_but_the_trigger_word():
    texts = {name for name, (first, _) in VALUES.items() if isinstance(first, list) or " " in str(first)}
    assert texts - set(SEARCHED) == {"trigger_word"}


@pytest.mark.parametrize(
    "name", [name for name, (first, _) in VALUES.items() if isinstance(first, str) and " " in first]
)
def test_text_is_limited_and_its_secrets_are_masked(world: World, waiting: str, name: str):
    def send(value: str) -> Any:
        return world.client.patch(f"{TRAINING}/{waiting}", json={name: value})

    assert [send(value).status_code for value in ("x" * 10_001, "a\0b")] == [422, 422]
    secret = f"hf_{'a1B2' * 9}"
    send(f"with {secret}")
    assert secret not in str(world.get(waiting)[name])


@label
def test_change_is_stored_with_an_event_and_in_the_audit(world: World, waiting: str, name: str):
    first, second = VALUES[name]
    assert change(world, waiting, name, second)[name] == second
    assert world.get(waiting)[name] == second
    event = world.client.get(f"{TRAINING}/{waiting}/events", params={"order": "newest"}).json()["data"]["events"][0]
    assert (event["type"], event["message_code"] is None) == ("change", False)
    world.runtime.access.audit.run_once()
    entry = world.client.get("/api/v1/auth/audit", params={"object": waiting}).json()["data"]["entries"][0]
    assert (_shown(entry["before"][name]), _shown(entry["after"][name])) == (_shown(first), _shown(second))


def _shown(value: Any) -> Any:
    """Return a time in the audit's form."""
    if isinstance(value, str) and value.endswith("Z"):
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M UTC}"
    return value


@label
def test_restart_takes_it_as_it_was_changed(world: World, ended: str, name: str):
    again = post(world, f"restart/{ended}")
    assert again["task_id"] != ended
    assert again[name] == again["request"][name] == VALUES[name][1]


@label
def test_resume_keeps_it_as_it_was_changed(world: World, ended: str, name: str):
    resumed = post(world, f"resume/{ended}")
    assert resumed[name] == resumed["request"][name] == VALUES[name][1]


@pytest.mark.parametrize("name", ResumeLabels.model_fields)
def test_resume_replaces_it(world: World, ended: str, name: str):
    resumed = post(world, f"resume/{ended}", {name: FIRST[name]})
    assert resumed[name] == resumed["request"][name] == FIRST[name]


@label
def test_copy_of_the_shown_request_has_it(world: World, waiting: str, name: str):
    request = {field: value for field, value in world.get(waiting)["request"].items() if value is not None}
    assert post(world, "start", request)[name] == FIRST[name]


@label
def test_trainings_of_a_sweep_have_it(world: World, name: str):
    body = {"request": {"model_type": "toy", "config": {"epochs": 1}, **FIRST}, "values": {"/max_retries": [1, 2]}}
    answer = world.client.post("/api/v1/sweeps", json=body)
    assert answer.status_code == 201, answer.text
    for row in listed(world):
        shown = world.get(row["task_id"])[name]
        # Names of a sweep's trainings begin with the given one.
        assert shown.startswith(FIRST[name]) if name == "name" else shown == FIRST[name]
