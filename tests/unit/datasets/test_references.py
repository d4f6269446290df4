from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from api.datasets.materials import DatasetDirectories
from api.datasets.references import DatasetReferences
from api.domain.training import TrainingRequest
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.unit.datasets.conftest import Shelf
from tests.unit.trainers.diffusion_pipe.builders import Case, make_trainer


def picture(shade: int) -> bytes:
    buffer = BytesIO()
    Image.new("L", (512, 512), shade).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def references(shelf: Shelf, tmp_path: Path) -> DatasetReferences:
    materials = DatasetDirectories(shelf.service, shelf.store, shelf.blobs)
    return DatasetReferences(shelf.service, shelf.store, materials, tmp_path / "storage")


@pytest.fixture
def trainer(tmp_path: Path) -> DiffusionPipe:
    return make_trainer(tmp_path)


@pytest.fixture
def named(shelf: Shelf, tmp_path: Path) -> TrainingRequest:
    """A valid request to diffusion-pipe with a named dataset."""
    shelf.make()
    shelf.version(*(shelf.item(f"{shade}.png", picture(shade)) for shade in range(4)))
    whole = Case(tmp_path).request()
    directories = [{"dataset": "cats", "num_repeats": 2}]
    return replace(whole, dataset={**whole.dataset, "directories": directories})


def test_diffusion_pipe_accepts_a_named_dataset(
    references: DatasetReferences, trainer: DiffusionPipe, named: TrainingRequest, tmp_path: Path
):
    used = references.use(named, "train_1")
    found = trainer.check(used.given, tmp_path / "storage" / "tasks" / "train_1" / "output")
    assert (used.mistakes, used.point(found.errors), found.warnings) == ((), (), ())
    assert found.plan is not None
    plan = used.finish(found.plan)
    home = (
        tmp_path / "storage" / "tasks" / "train_1" / "datasets" / f"cats-{used.pins[0].manifest_sha256[:16]}" / "media"
    )
    assert plan.dataset_items == 4
    assert f'path = "{home}"' in plan.files["dataset.toml"]
    assert all(cache.startswith(f"{home}/cache/") for cache in plan.caches)
    assert plan.caches


def test_findings_point_to_the_named_dataset(
    shelf: Shelf, references: DatasetReferences, trainer: DiffusionPipe, named: TrainingRequest, tmp_path: Path
):
    shelf.version(shelf.item("0.png", picture(0), caption=None))
    used = references.use(named, "train_1")
    found = used.point(trainer.check(used.given, tmp_path / "output").errors)
    assert [(mistake.pointer, mistake.message) for mistake in found] == [
        (
            "/dataset/directories/0/dataset",
            "None of its 1 files has a caption, and the trainer skips files without one.",
        )
    ]


def test_masks_come_with_their_dataset_unless_the_request_sets_them(
    shelf: Shelf, references: DatasetReferences, named: TrainingRequest
):
    shelf.version(shelf.item("0.png", picture(0), mask_sha256=shelf.blob(picture(255))))
    entry = references.use(named, "t").given.dataset["directories"][0]
    assert Path(entry["mask_path"]) == Path(entry["path"]).parent / "masks"
    own = replace(named, dataset={**named.dataset, "directories": [{"dataset": "cats", "mask_path": "/mine"}]})
    assert references.use(own, "t").given.dataset["directories"][0]["mask_path"] == "/mine"


def test_damaged_store_is_a_finding(shelf: Shelf, references: DatasetReferences, named: TrainingRequest):
    shelf.blobs.path(shelf.blob(picture(0))).unlink()
    (mistake,) = references.use(named, "t").mistakes
    assert "is missing" in mistake.message


def test_text_that_cannot_be_edited_is_a_finding(references: DatasetReferences, named: TrainingRequest):
    text = "directory = [ {dataset = 'cats'}, {path = \"a\\u0000b\"} ]\n"
    used = references.use(replace(named, dataset={}, config={}, config_toml="", dataset_toml=text), "t")
    assert len(used.pins) + len(used.mistakes) == 1


def test_excluded_items_are_ignored_and_a_resume_reports_them(
    shelf: Shelf, references: DatasetReferences, trainer: DiffusionPipe, named: TrainingRequest, tmp_path: Path
):
    damaged = replace(shelf.item("0.png", picture(0)[:-400]), excluded=True)
    shelf.version(damaged, *(shelf.item(f"{shade}.png", picture(shade)) for shade in range(1, 4)))
    used = references.use(named, "train_1")
    found = trainer.check(used.given, tmp_path / "storage" / "tasks" / "train_1" / "output")
    assert (used.mistakes, found.errors, used.pins[0].items) == ((), (), 3)
    assert found.plan is not None
    assert used.finish(found.plan).dataset_items == 3
    first = named.dataset["directories"][0] | {"dataset": "cats@1"}
    old = references.use(replace(named, dataset={**named.dataset, "directories": [first]}), "t", known_by=["t"])
    assert old.notes == ("cats: version 1 is used; the newest is 2, with 1 files changed, 1 items excluded.",)
