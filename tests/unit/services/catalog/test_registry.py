import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.errors import ModelExists, NotYours, RegisteredModelNotFound, WeightsRefused
from api.models.access import LOCAL, Credential, Role
from api.models.sight import Sight, seeing
from api.models.training_view import SeriesPoint, SeriesView, XAxis
from api.services.catalog.registry import Registry
from api.services.training.artifacts import OpenFile
from api.storage.blobs import BlobStore
from api.storage.database import Database, sqlite_url
from api.storage.registry import RegistryStore
from api.utils.clock import FakeClock
from api.utils.pagination import PageRequest
from tests.databases import hurry
from tests.unit.storage.builders import NOW
from tests.unit.weights.stand_ins import write_stand_in

ANN = replace(LOCAL, user_id="ann", role=Role.TRAINER, permissions=frozenset(), credential=Credential.KEY)
BOB = replace(ANN, user_id="bob")
ARTIFACT = "run/epoch3/a.safetensors"


class FakeTraining:
    """One training of ann's, with one file."""

    def __init__(self, root: Path) -> None:
        self.path = write_stand_in(root / "a.safetensors", {"a.lora_A.weight": [8, 4], "a.lora_B.weight": [4, 8]})

    def get(self, task_id: str) -> Any:
        about = {"name": "x", "model_type": "wan", "owner": "ann", "request": {"seed": 3}}
        return SimpleNamespace(task_id=task_id, trainer="toy", attempts=(), output_dir="/nowhere/output", **about)

    def open_artifact(self, task_id: str, path: str) -> OpenFile:
        return OpenFile(os.open(self.path, os.O_RDONLY), "a.safetensors", self.path.stat().st_size, 0.0)

    def get_metrics(self, task_id: str, metric: str, axis: XAxis, limit: int, since: int | None) -> SeriesView:
        points = (SeriesPoint(None, 3, 0.5 if metric == "loss" else 0.7, NOW),)
        return SeriesView(metric, axis, points, 1, 0, False, ())


@pytest.fixture
def training(tmp_path: Path) -> FakeTraining:
    return FakeTraining(tmp_path)


@pytest.fixture
def registry(tmp_path: Path, training: FakeTraining) -> Iterator[Registry]:
    database = Database(sqlite_url(tmp_path / "d.sqlite"), tmp_path)
    hurry(database)
    database.migrate()
    store = RegistryStore(database)
    yield Registry(store, BlobStore(tmp_path / "blobs"), training, FakeClock())  # type: ignore[arg-type]
    database.close()


def test_version_knows_the_losses_at_its_epoch(registry: Registry):
    made = registry.register("cats", "t1", ARTIFACT, ANN)
    assert (made.origin["loss"], made.origin["eval_loss"], made.origin["epoch"]) == (0.5, 0.7, 3)
    assert (made.origin["request"], made.format["base_model"]) == ({"seed": 3}, "wan")
    assert registry.register("cats", "t1", "run/a.safetensors", ANN).origin["loss"] is None


def test_refused_file_makes_no_model(registry: Registry, training: FakeTraining):
    training.path.write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightsRefused):
        registry.register("cats", "t1", ARTIFACT, ANN)
    with pytest.raises(RegisteredModelNotFound):
        registry.get("cats")


def test_only_its_owner_adds_to_a_model(registry: Registry):
    registry.register("cats", "t1", ARTIFACT, ANN)
    with pytest.raises(NotYours):
        registry.register("cats", "t1", ARTIFACT, BOB)
    with seeing(Sight("bob", sees_all=False)), pytest.raises(ModelExists):
        registry.register("cats", "t1", ARTIFACT, BOB)
    with seeing(Sight("bob", sees_all=False)):
        assert registry.get_page(None, None, None, PageRequest()).rows == ()


def test_file_that_is_missing_is_told_by_a_path_of_null(registry: Registry):
    made = registry.register("cats", "t1", ARTIFACT, ANN)
    assert made.path is not None
    Path(made.path).unlink()
    assert registry.get_version("cats", "1").path is None


def test_page_leads_to_the_next(registry: Registry):
    for _ in range(3):
        registry.register("cats", "t1", ARTIFACT, ANN)
    page = registry.get_versions("cats", PageRequest(limit=2))
    assert ([row.version for row in page.rows], page.pagination.next_cursor) == ([3, 2], "2")
    rest = registry.get_versions("cats", PageRequest(limit=2, cursor="2"))
    assert ([row.version for row in rest.rows], rest.pagination.has_more) == ([1], False)
