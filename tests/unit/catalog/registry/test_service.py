import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.catalog.registry.service import Registry
from api.catalog.registry.store import RegistryStore
from api.db.database import Database, sqlite_url
from api.domain.access.principal import LOCAL, Credential, Role
from api.errors import InsufficientStorage, RegisteredModelNotFound, WeightsRefused
from api.files.blobs import BlobStore
from api.samples.links.library_links import ComfyLinks
from api.samples.links.store import LinkedVersions
from api.training.output.artifacts import OpenFile
from api.training.views import SeriesPoint, SeriesView, XAxis
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest
from tests.databases import hurry
from tests.unit.db.builders import NOW
from tests.unit.files.weights.stand_ins import write_stand_in

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

    def open_artifact(self, task_id: str, path: str, *, is_raw: bool = False) -> OpenFile:
        return OpenFile(os.open(self.path, os.O_RDONLY), "a.safetensors", self.path.stat().st_size, 0.0)

    def get_metrics(self, task_id: str, metric: str, type: XAxis, limit: int, since_step: int | None) -> SeriesView:  # noqa: A002
        points = (SeriesPoint(None, 3, 0.5 if metric == "loss" else 0.7, NOW),)
        return SeriesView(metric, type, points, 1, 0, False, ())


@pytest.fixture
def training(tmp_path: Path) -> FakeTraining:
    return FakeTraining(tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "d.sqlite"), tmp_path)
    hurry(made)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def registry(tmp_path: Path, training: FakeTraining, database: Database) -> Registry:
    store = RegistryStore(database)
    return Registry(store, BlobStore(tmp_path / "blobs"), training, training, FakeClock())  # type: ignore[arg-type]


def test_version_has_the_losses_of_its_epoch(registry: Registry):
    made = registry.register("cats", "t1", ARTIFACT, ANN)
    assert (made.origin["loss"], made.origin["eval_loss"], made.origin["epoch"]) == (0.5, 0.7, 3)
    assert (made.origin["request"], made.format["base_model"]) == ({"seed": 3}, "wan")
    assert registry.register("cats", "t1", "run/a.safetensors", ANN).origin["loss"] is None


def test_file_that_grows_during_the_copy_is_rejected(
    registry: Registry, training: FakeTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = training.path.read_bytes()
    handle = os.open(training.path, os.O_RDONLY)
    grown = OpenFile(handle, "a.safetensors", len(content) - 1, 0.0)
    monkeypatch.setattr(training, "open_artifact", lambda task_id, path: grown)
    with pytest.raises(WeightsRefused, match="still being written"):
        registry.register("cats", "t1", ARTIFACT, ANN)
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize(
    "place", ["run/global_step100/optimizer.safetensors", "run/epoch3/global_step7/a/b.safetensors"]
)
def test_checkpoint_cannot_be_registered(tmp_path: Path, registry: Registry, place: str):
    with pytest.raises(WeightsRefused, match=r"only its trainer can load.*GET /training/t1/artifacts"):
        registry.register("cats", "t1", place, ANN)
    with pytest.raises(RegisteredModelNotFound):
        registry.find("cats")


def test_full_disk_is_reported_before_the_copy(tmp_path: Path, registry: Registry):
    registry.register("cats", "t1", ARTIFACT, ANN)
    before = sorted(tmp_path.rglob("*"))
    registry._room = refuse
    with pytest.raises(InsufficientStorage):
        registry.register("dogs", "t1", ARTIFACT, ANN)
    with pytest.raises(InsufficientStorage):
        registry.write_metadata("cats", "1", "ohwx", {}, ANN)
    assert sorted(tmp_path.rglob("*")) == before


def refuse(size: int) -> None:
    raise InsufficientStorage(str(size))


def test_missing_file_has_path_null(registry: Registry):
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


def test_links_that_a_killed_server_did_not_make_are_made_later(
    registry: Registry, training: FakeTraining, tmp_path: Path, database: Database
):
    loras = tmp_path / "loras"
    loras.mkdir()
    registry.register("cats", "t1", ARTIFACT, ANN, aliases=["prod"])
    blobs = BlobStore(tmp_path / "blobs")
    links = ComfyLinks(loras, blobs, LinkedVersions(database))
    again = Registry(RegistryStore(database), blobs, training, training, FakeClock(), links)  # type: ignore[arg-type]
    again.collect(3600)
    assert (loras / "cats-prod.safetensors").read_bytes() == training.path.read_bytes()
    write_stand_in(training.path, {"b.lora_A.weight": [8, 4], "b.lora_B.weight": [4, 8]})
    registry.register("cats", "t1", ARTIFACT, ANN, aliases=["prod"])
    again.collect(3600)
    assert (loras / "cats-prod.safetensors").read_bytes() == training.path.read_bytes()
    assert len(list(loras.iterdir())) == 1
