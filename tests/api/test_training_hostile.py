"""Hostile requests about trainings, and an unavailable database."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from typing import Any

import pytest

from api.db import database
from tests.api.client import Client, failure_of
from tests.api.conftest import TOY, TRAINING, MakeWorld, World, open_world
from tests.unit.trainers.diffusion_pipe.builders import PYTHON, Case, TextCase

JSON = {"Content-Type": "application/json"}
ID = "train_20260101_00000000"


def test_body_at_the_size_limit_is_accepted(client: Client):
    answer = client.post(f"{TRAINING}/validate", json={**TOY, "description": "x" * 1_000_000})
    assert answer.status_code == 200
    assert [error["pointer"] for error in answer.json()["data"]["errors"]] == ["/description"]


def nested(depth: int, kind: str) -> str:
    return '{"a":' * depth + "1" + "}" * depth if kind == "object" else "[" * depth + "1" + "]" * depth


@pytest.fixture(scope="module")
def trainer_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Case]]:
    directory = tmp_path_factory.mktemp("trainer")
    case = Case(directory)
    with ExitStack() as stack:
        settings = {"diffusion_pipe_root": directory / "trainer", "diffusion_pipe_python": PYTHON}
        yield open_world(stack, directory / "storage", **settings), case


@pytest.fixture
def diffusion(trainer_world: tuple[World, Case]) -> tuple[World, dict[str, Any]]:
    """A shared server, and a request that each test may change."""
    world, case = trainer_world
    return world, deepcopy({"model_type": "sdxl", "config": case.config, "dataset": case.dataset})


@pytest.mark.parametrize("depth", [60, 400, 1000])
@pytest.mark.parametrize("kind", ["object", "list"])
@pytest.mark.parametrize("place", ["optimizer", "model", "adapter", "monitoring", "own"])
def test_deep_nesting_is_rejected_or_accepted(
    diffusion: tuple[World, dict[str, Any]], place: str, kind: str, depth: int
):
    world, body = diffusion
    mark = "@deep@"
    if place == "own":
        body["config"]["deep"] = mark
    else:
        body["config"].setdefault(place, {})["deep"] = mark
    text = database.orjson.dumps(body).decode().replace(f'"{mark}"', nested(depth, kind))
    for path in ("validate", "start"):
        answer = world.client.post(f"{TRAINING}/{path}", content=text, headers=JSON)
        assert answer.status_code < 500, answer.text[:500]
        if answer.status_code == 201:
            assert world.client.get(answer.headers["location"]).status_code == 200
            assert world.client.get(f"{TRAINING}/list").status_code == 200


@pytest.mark.parametrize(
    "value",
    [2**63, 2**64 - 1, -(2**63), 1e308, 5e-324, -0.0, "", "\u0000", "\u2028", "é" * 1000, [], {}, [[]], None, True],
    ids=repr,
)
@pytest.mark.parametrize("place", ["optimizer", "own", "dataset"])
def test_strange_values_are_rejected_or_accepted(diffusion: tuple[World, dict[str, Any]], place: str, value: Any):
    world, body = diffusion
    target = {"optimizer": body["config"]["optimizer"], "own": body["config"], "dataset": body["dataset"]}[place]
    target["weight_decay" if place == "optimizer" else "x"] = value
    for path in ("validate", "start"):
        answer = world.client.post(f"{TRAINING}/{path}", json=body)
        assert answer.status_code < 500, answer.text[:500]
        if answer.status_code == 201:
            assert world.client.get(answer.headers["location"]).status_code == 200


@pytest.mark.parametrize(
    "line",
    [
        "x = 99999999999999999999999999", "x = nan", "x = -inf", "x = 2026-01-01", "x = 07:32:00",
        "x = 2026-01-01T00:00:00Z", "x = [1, 2.5]", "x = " + "[" * 300 + "]" * 300, 'x = "\\u0000"', "x.y.z = 1",
        '"" = 1',
    ],
)  # fmt: skip
def test_strange_toml_is_rejected_or_accepted(make_world: MakeWorld, tmp_path: Any, line: str):
    case = TextCase(tmp_path / "files")
    world = make_world(diffusion_pipe_root=tmp_path / "files" / "trainer", diffusion_pipe_python=PYTHON)
    body = {"model_type": "sdxl", "config_toml": case.config + line + "\n", "dataset_toml": case.dataset}
    for path in ("validate", "start"):
        answer = world.client.post(f"{TRAINING}/{path}", json=body)
        assert answer.status_code < 500, answer.text[:500]
        if answer.status_code == 201:
            assert world.client.get(answer.headers["location"]).status_code == 200


def test_terminal_codes_and_markup_are_returned_unchanged(world: World):
    text = "<script>alert(1)</script> \u202e \u001b[31m"
    task = world.get(world.start(description=text))
    assert task["description"] == text


# -- an unavailable database ---------------------------------------------------------------------------------------


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Another process holds a lock on the database."""
    with closing(sqlite3.connect(world.storage / "database.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def impatient(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    """A server whose statements wait only briefly for a lock."""
    monkeypatch.setattr(database, "LOCK_MS", 100)
    return make_world()


def test_statement_times_out_early_enough_for_an_answer_within_5_s():
    assert database.LOCK_MS < 5000


def test_write_while_the_database_is_locked_can_be_retried(impatient: World):
    world, done, running = impatient, impatient.finish(), impatient.run()
    world.make_checkpoints(done, 10)
    writes = [
        ("POST", "/start", TOY),
        ("POST", "/start", {**TOY, "queue": False}),
        ("POST", f"/stop/{running}", None),
        ("POST", f"/resume/{done}", {"config": {"epochs": 9}}),
        ("POST", f"/restart/{done}", None),
        ("PATCH", f"/{running}", {"priority": 3}),
        ("DELETE", f"/{done}?files=true", None),
    ]
    with locked(world):
        for method, path, body in writes:
            for headers in ({}, {"Idempotency-Key": "k"}):
                answer = world.client.ask(method, TRAINING + path, json=body, headers=headers)
                assert answer.status_code == 503
                assert failure_of(answer)["error"]["code"] == "database_unavailable"
                assert int(answer.headers["retry-after"]) > 0
    assert [(world.get(task)["status"], world.get(task)["priority"]) for task in (done, running)] == [
        ("completed", 0),
        ("running", 0),
    ]
    assert world.client.data(f"{TRAINING}/list")["pagination"]["total"] == 2
    assert (world.storage / "tasks" / done / "output").is_dir()
    assert world.client.post(f"{TRAINING}/start", json=TOY, headers={"Idempotency-Key": "k"}).status_code == 201


def test_reads_work_while_the_database_is_locked(impatient: World):
    running = impatient.run()
    with locked(impatient):
        for path in ("/gpu/status", "/gpu/available", f"/training/{running}", "/training/list", "/system/overview"):
            assert impatient.client.get(f"/api/v1{path}").status_code == 200
        assert impatient.client.get("/health").status_code == 200


def test_trainings_continue_when_the_database_is_available_again(impatient: World):
    waiting = impatient.start()
    with locked(impatient):
        impatient.train()
        impatient.sweep()
    assert impatient.get(impatient.run(waiting))["status"] == "running"
    with locked(impatient):
        impatient.executor.ends(f"{waiting}.1")
        impatient.train()
    assert impatient.get(waiting)["status"] == "running"
    impatient.train()
    assert impatient.get(waiting)["status"] == "failed"


def test_unavailable_database_breaks_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch):
    running = world.run(gpu_id=0)

    @contextmanager
    def away(self: database.Database, mode: str) -> Iterator[None]:
        raise database.DatabaseUnavailable("It is away.", headers={"Retry-After": "2"})
        yield

    with monkeypatch.context() as patched:
        patched.setattr(database.Database, "_connect", away)
        # Never requested before. Known answers are repeated: see test_last_known.
        for path in ("/training/list", f"/training/{running}/events", f"/training/{running}/artifacts", "/gpu/tasks"):
            answer = world.client.get(f"/api/v1{path}")
            assert (answer.status_code, failure_of(answer)["error"]["code"]) == (503, "database_unavailable")
        world.sweep()
        world.train()
        gpus = world.client.data("/api/v1/gpu/status")["gpus"]
        assert [gpu["status"] for gpu in gpus] == ["training", "available", "available", "available"]
        for path in ("/health", "/health/ready", "/metrics", "/api/v1/gpu/available", "/api/v1/gpu/0"):
            assert world.client.get(path).status_code == 200
    world.train()
    assert world.get(running)["status"] == "running"


@pytest.mark.parametrize("body", ["[]", "[null, null]", "null", "1", '"x"', "true"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{TRAINING}/validate"),
        ("POST", f"{TRAINING}/start"),
        ("POST", f"{TRAINING}/stop/train_20261125_00000000"),
        ("POST", f"{TRAINING}/train_20261125_00000000/stop"),
        ("POST", f"{TRAINING}/resume/train_20261125_00000000"),
        ("PATCH", f"{TRAINING}/train_20261125_00000000"),
        ("POST", "/api/v1/gpu/tasks"),
        ("PATCH", "/api/v1/gpu/tasks/a"),
    ],
)
def test_body_that_is_not_an_object_is_one_clear_error(shared_client: Client, method: str, path: str, body: str):
    answer = shared_client.ask(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    mistake = {"pointer": "", "message": "The body must be a JSON object."}
    assert failure_of(answer)["error"]["errors"] == [mistake]


@pytest.mark.parametrize("path", ["/validate", "/start"])
@pytest.mark.parametrize(
    "body",
    [
        {**TOY, **{f"{index:x}": 0 for index in range(80_000)}},
        {**TOY, **{f"k{index}": index for index in range(15_000)}},
        {**TOY, "config": {"epochs": 1, **{f"k{index}": index for index in range(19_000)}}},
        {**TOY, **{"k" * 50_000 + str(index): index for index in range(20)}},
        {**TOY, "retry_on": ["no such cause"] * 15_000},
        {"model_type": "toy", "config_toml": ".".join("a" * 400_000) + " = 1"},
        {"model_type": "toy", "config": {"epochs": 1}, "dataset_toml": ".".join("a" * 5_000) + " = 1"},
    ],
    ids=["80,000 fields", "15,000 fields", "19,000 keys", "long names", "15,000 causes", "dotted", "dotted dataset"],
)
def test_huge_requests_get_a_short_answer(shared_client: Client, path: str, body: dict[str, Any]):
    answer = shared_client.post(TRAINING + path, json=body)
    assert answer.status_code == (200 if path == "/validate" else 422)
    assert len(answer.content) < 300_000
    errors = answer.json()["data"]["errors"] if path == "/validate" else answer.json()["error"]["errors"]
    assert 1 <= len(errors) <= 201


def test_omitted_findings_are_counted(client: Client):
    body = {**TOY, **{f"k{index}": index for index in range(900)}}
    errors = client.post(f"{TRAINING}/validate", json=body).json()["data"]["errors"]
    assert errors[-1]["message"] == "There are 700 more findings than these."
