"""A new version from the output of the preprocessing program."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.datasets.preparation.caption_rules import CaptionRules
from api.datasets.preparation.request import PreprocessRequest
from api.datasets.preparation.results import PreprocessResultRecorder
from api.datasets.preparation.work_files import SourceFiles
from api.datasets.records.derivations import DerivationStore
from api.db.database import Database
from api.domain.datasets.dataset import ManifestItem, PinnedDataset
from api.domain.datasets.media_settings import MediaSettings
from api.domain.tasks.training import GPURequest, NewTask, TrainingPlan, TrainingRequest, TrainingTask
from api.files.task_files import task_files
from api.jobs.preprocessing.children import write_record
from api.jobs.preprocessing.work import Made, Record, key_of
from api.training.records.task_store import TaskStore
from tests.unit.datasets.conftest import ANN, Shelf

SMALL = MediaSettings(short_side=16)


class Field:
    """A dataset, and a task whose program has stored outputs."""

    def __init__(self, shelf: Shelf, database: Database, root: Path) -> None:
        self.shelf, self.root, self.tasks = shelf, root, TaskStore(database)
        self.derivations = DerivationStore(database)
        self.recorder = PreprocessResultRecorder(
            shelf.service, shelf.store, shelf.blobs, self.derivations, SourceFiles(shelf.blobs), shelf.clock, root
        )
        self.dataset = shelf.make("cats")

    def task(self, items: list[ManifestItem], task_id: str = "e", **fields: Any) -> TrainingTask:
        version = self.shelf.version(*items)
        wanted = PreprocessRequest("cats", **fields)
        target = {"name": wanted.into or "cats", "serial": None if wanted.into else self.dataset.serial}
        given = {"dataset": "cats", "version": version.ordinal, "manifest": version.manifest_sha256}
        config = {"wish": wanted.as_config(), "input": given, "target": target}
        request = TrainingRequest("", GPURequest(count=0), config=config)
        pin = PinnedDataset("cats", version.ordinal, f"sha256:{version.manifest_sha256}", 1, self.dataset.serial)
        plan = TrainingPlan("preprocessing", "", 0, datasets=(pin,))
        new = NewTask(task_id, "preprocessing", request, plan, owner="ann")
        task_files(self.root, task_id).output.mkdir(parents=True, exist_ok=True)
        return self.tasks.create(new, self.shelf.clock.now(), "ann")

    def made(self, task: TrainingTask, item: ManifestItem, *made: Made, problem: str | None = None) -> str:
        key = key_of((item.sha256, item.mask_sha256, item.control_sha256), SMALL)
        directory = task_files(self.root, task.task_id).output / "made"
        directory.mkdir(exist_ok=True)
        for each in made:
            if each.name is not None:
                (directory / each.name).write_bytes(f"made of {item.path}: {each.name}".encode())
        write_record(directory, Record(key, made or (Made("", None),), problem))
        return key

    def record(self, task: TrainingTask) -> Any:
        recorded = self.recorder.record(task, task_files(self.root, task.task_id).output)
        assert recorded.cause is None
        return recorded.result

    def items(self, version: int) -> dict[str, str | None]:
        dataset = self.shelf.store.get("cats")
        found = self.shelf.store.get_version(dataset.serial, version)
        return {item.path: item.caption for item in self.shelf.service.read_items(found.manifest_sha256)}


@pytest.fixture
def field(shelf: Shelf, sqlite: Database, tmp_path: Path) -> Field:
    return Field(shelf, sqlite, tmp_path)


def test_outputs_become_a_new_version_with_its_toml(field: Field):
    clip, other = field.shelf.item("clip.mkv"), field.shelf.item("other.png", caption=None)
    task = field.task([clip, other], media=SMALL, captions=CaptionRules(trigger="ohwx"), resolutions=(256,))
    field.made(task, clip, Made("_000", ".mp4", "1.mp4"), Made("_001", ".mp4", "2.mp4"))
    field.made(task, other)
    result = field.record(task)
    assert field.items(2) == {"clip_000.mp4": "ohwx, a cat", "clip_001.mp4": "ohwx, a cat", "other.png": None}
    assert (result["reference"], result["made"], result["unchanged"], result["items"]) == ("cats@2", 2, 1, 3)
    assert 'dataset = "cats@2"' in result["dataset_toml"]
    assert not (task_files(field.root, "e").output / "made").exists()


def test_repeated_call_gives_the_same_result_and_makes_nothing(field: Field):
    clip = field.shelf.item("clip.mkv")
    task = field.task([clip], media=SMALL)
    field.made(task, clip, Made("", ".mp4", "1.mp4", width=32, height=16, fps=16.0, duration=2.0, frame_count=32))
    first = field.record(task)
    assert first["metadata"] == {
        "fps": 16.0,
        "resolution": "32x16",
        "duration": 2.0,
        "frame_count": 32,
        "original_video": "clip.mkv",
    }
    assert field.record(task) == first
    assert field.shelf.store.get("cats").latest == 2


def test_next_task_with_the_same_settings_reuses_outputs(field: Field):
    clip = field.shelf.item("clip.mkv")
    task = field.task([clip], media=SMALL)
    key = field.made(task, clip, Made("", ".mp4", "1.mp4"))
    field.record(task)
    assert set(field.recorder.known([key])) == {key}
    again = field.record(field.task([clip], "again", media=SMALL, into="others"))
    assert (again["reused"], again["made"], again["reference"]) == (1, 0, "others@1")
    assert field.shelf.store.get("others").owner == "ann"


def test_lost_outputs_are_forgotten(field: Field):
    field.derivations.keep(
        {"k": [{"suffix": "", "extension": None, "blob": ["0" * 64, 1], "mask": None, "control": None, "facts": {}}]},
        field.shelf.clock.now(),
    )
    assert field.recorder.known(["k"]) == {}
    assert field.derivations.find(["k"], field.shelf.clock.now()) == {}


def test_item_with_a_problem_is_reported_and_retried(field: Field):
    clip, bad = field.shelf.item("clip.mkv"), field.shelf.item("bad.mkv")
    task = field.task([clip, bad], media=SMALL)
    field.made(task, clip, Made("", ".mp4", "1.mp4"))
    key = field.made(task, bad, problem="it cannot be opened")
    result = field.record(task)
    assert (result["problem_count"], result["problems"]) == (
        1,
        [{"path": "bad.mkv", "problem": "it cannot be opened"}],
    )
    assert set(field.items(2)) == {"clip.mp4", "bad.mkv"}
    assert field.recorder.known([key]) == {}


def test_no_version_is_made_if_no_item_can_be_read(field: Field):
    bad = field.shelf.item("bad.mkv")
    task = field.task([bad], media=SMALL)
    field.made(task, bad, problem="it cannot be opened")
    with pytest.raises(ValueError, match=r"None of the 1 items can be read\. bad\.mkv: it cannot be opened"):
        field.record(task)
    assert field.shelf.store.get("cats").latest == 1


def test_output_that_is_a_link_is_not_read(field: Field, tmp_path: Path):
    clip = field.shelf.item("clip.mkv")
    task = field.task([clip], media=SMALL)
    (tmp_path / "secret").write_text("secret")
    field.made(task, clip, Made("", ".mp4", "1.mp4"))
    link = task_files(field.root, "e").output / "made" / "1.mp4"
    link.unlink()
    link.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match=r"1\.mp4"):
        field.record(task)


def test_name_taken_by_another_user_meanwhile_gets_nothing(field: Field):
    task = field.task([field.shelf.item("clip.mkv")], into="others")
    field.shelf.make("others", replace(ANN, user_id="bob"))
    with pytest.raises(ValueError, match="The name others now belongs to another dataset"):
        field.record(task)


def test_output_lost_after_the_start_fails_only_its_item(field: Field):
    clip, other = field.shelf.item("clip.mkv"), field.shelf.item("other.mkv")
    task = field.task([clip, other], media=SMALL)
    field.made(task, clip, Made("", ".mp4", "1.mp4"))
    result = field.record(task)
    assert (result["made"], [each["path"] for each in result["problems"]]) == (1, ["other.mkv"])
    assert set(field.items(2)) == {"clip.mp4", "other.mkv"}


def test_excluded_item_is_unchanged_and_not_copied_into_another_dataset(field: Field):
    clip, bad = field.shelf.item("clip.mkv"), field.shelf.item("bad.mkv", excluded=True)
    task = field.task([clip, bad], media=SMALL)
    field.made(task, clip, Made("", ".mp4", "1.mp4"))
    assert field.record(task)["problem_count"] == 0
    version = field.shelf.service.find_version(field.shelf.store.get("cats"))
    stored = field.shelf.service.read_items(version.manifest_sha256)
    assert {item.path: item.excluded for item in stored} == {"clip.mp4": False, "bad.mkv": True}
    again = field.record(field.task([clip, bad], "again", media=SMALL, into="others"))
    assert again["items"] == 1
