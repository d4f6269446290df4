from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api.datasets.materials import DatasetDirectories
from api.datasets.versions.references import DatasetReferences, find_datasets, find_paths, rewrite
from api.domain.tasks.training import TrainingRequest
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
    (note,) = old.notes
    assert note.text == "cats: version 1 is used; the newest is 2, with 1 file changed; 1 item excluded."


TEXT = "resolutions = [512] # px\n[[directory]]\npath = '/a'\n[[directory]]\ndataset = 'cats@3'\nnum_repeats = 2\n"


def structured(*directories: Any, key: str = "directories") -> TrainingRequest:
    return TrainingRequest("toy", dataset={"resolutions": [512], key: list(directories)})


@pytest.mark.parametrize("key", ["directories", "directory"])
def test_datasets_are_found_in_the_structured_form(key: str):
    found, mistakes = find_datasets(structured({"path": "/a"}, {"dataset": "cats"}, key=key))
    assert [(each.index, each.pointer, each.reference) for each in found] == [(1, f"/dataset/{key}/1", "cats")]
    assert mistakes == []


def test_datasets_are_found_in_the_toml_text():
    found, _ = find_datasets(TrainingRequest("toy", dataset_toml=TEXT))
    assert [(each.index, each.pointer) for each in found] == [(1, "/dataset_toml/directory/1")]


@pytest.mark.parametrize("directories", [None, "cats", [], ["cats"], [None], 3])
def test_invalid_list_of_directories_names_no_dataset(directories: Any):
    assert find_datasets(TrainingRequest("toy", dataset={"directories": directories})) == ([], [])


@pytest.mark.parametrize("text", ["dataset = [", "dataset = 1\n" * 2, "x" * 10_000_000])
def test_unreadable_text_names_no_dataset(text: str):
    assert find_datasets(TrainingRequest("toy", dataset_toml=text)) == ([], [])


@pytest.mark.parametrize("directory", [{"dataset": 3}, {"dataset": None}, {"dataset": "cats", "path": "/a"}])
def test_invalid_dataset_name_is_reported(directory: dict[str, Any]):
    found, (mistake,) = find_datasets(structured(directory))
    assert (found, mistake.pointer) == ([], "/dataset/directories/0/dataset")


def test_values_are_replaced_in_a_structured_request():
    changed = rewrite(structured({"dataset": "cats", "num_repeats": 2}), {0: {"dataset": None, "path": "/b"}})
    assert changed is not None
    assert changed.dataset == {"resolutions": [512], "directories": [{"num_repeats": 2, "path": "/b"}]}


def test_values_are_replaced_in_a_text_that_otherwise_stays():
    changed = rewrite(TrainingRequest("toy", dataset_toml=TEXT), {1: {"dataset": None, "path": "/b"}})
    assert changed is not None
    expected = TEXT.replace("dataset = 'cats@3'\n", "").replace("num_repeats = 2\n", 'num_repeats = 2\npath = "/b"\n')
    assert changed.dataset_toml == expected


def test_request_without_datasets_is_unchanged():
    request = structured({"path": "/a"})
    assert rewrite(request, {}) is request


def test_all_paths_of_a_directory_are_found():
    directory = {"path": "/a", "mask_path": "/b", "num_repeats": 2, "control_path": 3}
    found = [("/dataset/directories/1/path", "/a"), ("/dataset/directories/1/mask_path", "/b")]
    assert list(find_paths(structured(None, directory))) == found
    assert list(find_paths(TrainingRequest("toy", dataset_toml=TEXT))) == [("/dataset_toml/directory/0/path", "/a")]
