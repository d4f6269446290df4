import json
import os
import pickle
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.domain.tasks.training import ResumePoint
from api.trainers.protocol.checkpoints import (
    delete_hidden,
    find_resume_point,
    hide,
    list_checkpoints,
    prepare_resume,
    unhide,
)
from tests.faults import Faults
from tests.unit.util.foreign import Plant, each_plant, outside_of


def write(run_dir: Path, step: int, at: float | None = None, is_latest: bool = True) -> None:
    directory = run_dir / f"global_step{step}"
    directory.mkdir(exist_ok=True)
    for name in ("layer_00-model_states.pt", "mp_rank_00_model_states.pt"):
        (directory / name).write_bytes(b"x" * 10)
        os.utime(directory / name, (at or step, at or step))
    if is_latest:
        (run_dir / "latest").write_text(f"global_step{step}")


def complete(run_dir: Path) -> list[int | None]:
    return [one.step for one in list_checkpoints(run_dir) if one.is_complete]


def latest(run_dir: Path) -> str:
    return (run_dir / "latest").read_text()


def test_checkpoints_are_listed_by_step_with_size_and_time(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 100)
    (tmp_path / "epoch1").mkdir()
    first, second = list_checkpoints(tmp_path)
    assert (first.name, first.step, first.size_bytes) == ("global_step20", 20, 20)
    assert first.created_at == datetime.fromtimestamp(20, UTC)
    assert (first.is_complete, first.is_latest, second.is_complete, second.is_latest) == (True, False, True, True)


def test_checkpoint_newer_than_latest_is_not_complete(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40, is_latest=False)
    assert complete(tmp_path) == [20]


def test_without_latest_no_checkpoint_is_complete(tmp_path: Path):
    write(tmp_path, 20, is_latest=False)
    assert complete(tmp_path) == []
    with pytest.raises(ValueError, match="no complete checkpoint"):
        prepare_resume(tmp_path, None)


def test_truncated_latest_selects_the_newest_checkpoint(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40)
    (tmp_path / "latest").write_text("")
    assert complete(tmp_path) == [20, 40]
    prepare_resume(tmp_path, None)
    assert latest(tmp_path) == "global_step40"


def test_empty_checkpoint_is_not_complete(tmp_path: Path):
    write(tmp_path, 20)
    (tmp_path / "global_step10").mkdir()
    assert complete(tmp_path) == [20]


def test_links_are_not_checkpoints(tmp_path: Path):
    write(tmp_path, 20)
    (tmp_path / "global_step10").symlink_to(tmp_path / "global_step20")
    assert [one.step for one in list_checkpoints(tmp_path)] == [20]


def test_resume_removes_signal_files_and_remains_of_an_interrupted_save(tmp_path: Path):
    write(tmp_path, 20)
    for name in ("save", "save_quit"):
        (tmp_path / name).touch()
    (tmp_path / "epoch1" / "tmp").mkdir(parents=True)
    (tmp_path / "epoch1" / "tmp" / "state_dict_0.bin").touch()
    (tmp_path / "epoch1" / "adapter_model.safetensors").touch()
    prepare_resume(tmp_path, None)
    assert not any((tmp_path / name).exists() for name in ("save", "save_quit", "epoch1/tmp"))
    assert (tmp_path / "epoch1" / "adapter_model.safetensors").exists()


def test_latest_is_writable_for_the_group_of_a_trainer_with_its_own_user(tmp_path: Path):
    write(tmp_path, 20)
    prepare_resume(tmp_path, None)
    assert (tmp_path / "latest").stat().st_mode & 0o777 == 0o660


def test_resume_from_an_older_checkpoint_changes_latest(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40)
    prepare_resume(tmp_path, "global_step20")
    assert latest(tmp_path) == "global_step20"


def test_newer_checkpoint_stays_complete_after_resuming_an_older_one(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40)
    prepare_resume(tmp_path, "global_step20")
    assert complete(tmp_path) == [20, 40]
    prepare_resume(tmp_path, "global_step40")
    assert latest(tmp_path) == "global_step40"


def test_rewritten_newer_checkpoint_is_complete_only_when_latest_names_it(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40)
    prepare_resume(tmp_path, "global_step20")
    write(tmp_path, 40, at=1000, is_latest=False)
    assert complete(tmp_path) == [20]
    write(tmp_path, 40, at=1000)
    assert complete(tmp_path) == [20, 40]


def test_interrupted_checkpoint_stays_incomplete_when_latest_has_passed_it(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40, is_latest=False)
    prepare_resume(tmp_path, None)
    write(tmp_path, 60)
    assert complete(tmp_path) == [20, 60]
    write(tmp_path, 40, at=1000, is_latest=False)
    assert complete(tmp_path) == [20, 40, 60]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("global_step40", "not complete"),
        ("global_step30", "choose from global_step20"),
        ("../x", "no checkpoint"),
        ("", "no checkpoint"),
    ],
)
def test_resume_rejects_unknown_and_incomplete_checkpoints(tmp_path: Path, name: str, words: str):
    write(tmp_path, 20)
    write(tmp_path, 40, is_latest=False)
    (tmp_path / "save_quit").touch()
    with pytest.raises(ValueError, match=words):
        prepare_resume(tmp_path, name)
    assert latest(tmp_path) == "global_step20"
    assert (tmp_path / "save_quit").exists()


@pytest.mark.parametrize("name", ["global_step20", "epoch2", "step500"])
def test_hidden_checkpoint_or_model_can_be_shown_again_or_deleted(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").touch()
    hide(tmp_path, name)
    assert not (tmp_path / name).exists()
    unhide(tmp_path, name)
    assert (tmp_path / name / "file").exists()
    hide(tmp_path, name)
    assert delete_hidden(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_directories_cannot_be_hidden(tmp_path: Path):
    for name in ("samples", "latest", "epoch2/tmp", "..", "epoch"):
        with pytest.raises(FileNotFoundError):
            hide(tmp_path, name)


def test_missing_run_directory_has_no_checkpoints(tmp_path: Path):
    assert list_checkpoints(tmp_path / "nowhere") == ()
    assert delete_hidden(tmp_path / "nowhere")


@each_plant
@pytest.mark.parametrize("name", ["latest", ".judged_checkpoints.json", "save_quit", "save", "global_step30"])
def test_pipes_and_links_in_a_run_directory_are_not_opened(tmp_path: Path, plant: Plant, name: str):
    write(tmp_path, 20)
    (tmp_path / name).unlink(missing_ok=True)
    plant(tmp_path / name)
    outside = outside_of(tmp_path / name)
    kept = outside.read_bytes() if outside.exists() else None
    assert "global_step20" in [one.name for one in list_checkpoints(tmp_path)]
    delete_hidden(tmp_path)
    if name != "latest":
        prepare_resume(tmp_path, "global_step20")
        assert latest(tmp_path) == "global_step20"
    assert kept is None or outside.read_bytes() == kept
    assert not (tmp_path / "made-by-following").exists()


@each_plant
def test_resume_writes_files_under_unpredictable_names(tmp_path: Path, plant: Plant):
    write(tmp_path, 20)
    for name in (".latest.new", ".judged_checkpoints.json.new"):
        plant(tmp_path / name)
    prepare_resume(tmp_path, None)
    assert latest(tmp_path) == "global_step20"
    assert complete(tmp_path) == [20]
    assert not (tmp_path / "made-by-following").exists()


def test_deletion_of_a_checkpoint_does_not_delete_link_targets(tmp_path: Path):
    for step in (10, 20):
        write(tmp_path, step)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (tmp_path / "global_step10" / "link").symlink_to(outside)
    (tmp_path / ".global_step10.removed").symlink_to(outside)
    hide(tmp_path, "global_step10")
    assert delete_hidden(tmp_path)
    assert not (tmp_path / "global_step10").exists()
    assert (outside / "kept").exists()


def test_checkpoint_with_an_impossible_time_is_listed(tmp_path: Path):
    write(tmp_path, 20)
    for path in (tmp_path / "global_step20").iterdir():
        os.utime(path, ns=(-(10**18), -(10**18)))
    assert [one.created_at.year for one in list_checkpoints(tmp_path)] == [1970]


def test_run_directory_with_too_many_entries_is_listed_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.util.files.foreign_trees.list_names.__defaults__", (3, 5))
    for step in range(20):
        write(tmp_path, step + 1)
    assert 0 < len(list_checkpoints(tmp_path)) <= 5


def test_stored_verdicts_of_an_earlier_version_are_used(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40, is_latest=False)
    directory = tmp_path / "global_step40"
    files = sorted([path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in directory.iterdir())
    (tmp_path / ".judged_checkpoints.json").write_text(json.dumps({"global_step40": {"whole": True, "files": files}}))
    assert complete(tmp_path) == [20, 40]


@pytest.mark.parametrize(("call", "where"), [("scandir", ""), ("open", "/latest"), ("open", "/.judged"), ("stat", "")])
def test_resume_fails_when_files_cannot_be_read(tmp_path: Path, faults: Faults, call: str, where: str):
    write(tmp_path, 20)
    prepare_resume(tmp_path, None)
    judged = (tmp_path / ".judged_checkpoints.json").read_text()
    hidden = faults.strike(call, f"{tmp_path}{where}", times=1)
    with pytest.raises(OSError, match="Input/output"):
        prepare_resume(tmp_path, None)
    assert hidden.hits == 1
    assert (tmp_path / ".judged_checkpoints.json").read_text() == judged
    assert complete(tmp_path) == [20]


def write_state(run_dir: Path, step: int, loader: dict[str, int]) -> Path:
    """Write a checkpoint's state in the form of torch.save, with a repeated key before the trainer's position."""
    path = run_dir / f"global_step{step}" / "mp_rank_00_model_states.pt"
    path.parent.mkdir()
    state = {"optimizer": {"epoch": 300, "names": ["x" * 50] * 9}, "custom_loader": loader, "global_steps": step}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickle.dumps(state, protocol=2))
        archive.writestr(f"{path.stem}/data/0", bytes(1000))
    return path


@pytest.mark.parametrize(
    ("loader", "point"),
    [
        ({"epoch": 18, "num_batches_pulled": 0}, ResumePoint(85, 18, -1)),
        ({"epoch": 17, "num_batches_pulled": 5}, ResumePoint(85, 17, 4)),
        ({"epoch": 70_000, "num_batches_pulled": 300}, ResumePoint(85, 70_000, 299)),
    ],
)
def test_position_in_the_dataset_is_read_from_a_checkpoint(tmp_path: Path, loader: dict[str, int], point: ResumePoint):
    write_state(tmp_path, 85, loader)
    assert find_resume_point(tmp_path, "global_step85") == point


@pytest.mark.parametrize("loader", [{"epoch": -5, "num_batches_pulled": 0}, {"epoch": 1, "num_batches_pulled": -5}])
def test_impossible_position_is_unknown(tmp_path: Path, loader: dict[str, int]):
    write_state(tmp_path, 85, loader)
    assert find_resume_point(tmp_path, "global_step85") is None


def test_checkpoint_without_a_readable_position_has_no_resume_point(tmp_path: Path):
    path = write_state(tmp_path, 85, {"epoch": 18, "num_batches_pulled": 0})
    whole = path.read_bytes()
    end = whole.index(b"custom_loader") + 16
    for content in (b"", b"x" * 100, whole[:end], whole[:end] + b"\xff" * 50):
        path.write_bytes(content)
        assert find_resume_point(tmp_path, "global_step85") is None
    for name in ("global_step86", "../global_step85", "latest"):
        assert find_resume_point(tmp_path, name) is None
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(whole)
    path.symlink_to(tmp_path / "elsewhere")
    assert find_resume_point(tmp_path, "global_step85") is None


def test_hidden_checkpoint_is_no_longer_listed_and_can_be_deleted(tmp_path: Path):
    write(tmp_path, 20)
    write(tmp_path, 40)
    hide(tmp_path, "global_step40")
    assert [one.name for one in list_checkpoints(tmp_path)] == ["global_step20"]
    assert complete(tmp_path) == [20]
    assert delete_hidden(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["global_step20", "latest"]


@pytest.mark.parametrize("name", ["latest", "..", "samples", "global_step1/../latest", "global_step99"])
def test_only_existing_checkpoints_are_hidden(tmp_path: Path, name: str):
    write(tmp_path, 20)
    (tmp_path / "samples").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        hide(tmp_path, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
