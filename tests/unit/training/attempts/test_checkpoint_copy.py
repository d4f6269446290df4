"""The copy of a checkpoint from which the trainer exports it."""

import os
from pathlib import Path

import pytest

from api.domain.tasks.training import PlannedExport
from api.trainers.toy.trainer import Toy
from api.training.attempts.checkpoint_copy import COPIED_RUN, copy_checkpoint
from api.training.attempts.outcomes import CannotStart

RUN = "20260101_00-00-00"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory with two checkpoints, of which the last is the latest, and a saved model."""
    directory = tmp_path / "tasks" / "train_1" / "output" / RUN
    for step in (5, 10):
        (directory / f"global_step{step}").mkdir(parents=True)
        (directory / f"global_step{step}" / "state.pt").write_bytes(b"state %d" % step)
    (directory / "latest").write_text("global_step10")
    (directory / "epoch1").mkdir()
    return directory


def planned(run_dir: Path, step: int = 5) -> PlannedExport:
    written = next(one for one in Toy().checkpoints(run_dir) if one.step == step).created_at.isoformat()
    return PlannedExport("train_1", RUN, f"global_step{step}", written, step + 1)


def copied(run_dir: Path) -> Path:
    return run_dir.parents[2] / "export_1" / "output" / COPIED_RUN


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("has_links", [True, False])
def test_copy_has_only_the_checkpoint_and_the_trainer_resumes_from_it(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    before, trainer = files(run_dir), Toy()
    # What an earlier attempt has left is removed.
    (copied(run_dir) / "step6" / "tmp").mkdir(parents=True)
    copy_checkpoint(planned(run_dir), run_dir, copied(run_dir), trainer, None)
    assert files(copied(run_dir)) == {"global_step5/state.pt": b"state 5", "latest": b"global_step5"}
    trainer.prepare_resume(copied(run_dir), "global_step5")
    (copied(run_dir) / "latest").write_text("global_step6")
    assert files(run_dir) == before
    one, other = (directory / "global_step5" / "state.pt" for directory in (run_dir, copied(run_dir)))
    assert one.samefile(other) is has_links


def test_checkpoint_that_is_gone_or_rewritten_is_not_exported(run_dir: Path):
    given = planned(run_dir)
    os.utime(run_dir / "global_step5" / "state.pt", (1, 1))
    with pytest.raises(CannotStart, match="written again") as error:
        copy_checkpoint(given, run_dir, copied(run_dir), Toy(), None)
    assert error.value.cause is not None
    assert error.value.cause.code == "missing_file"
    for path in (run_dir / "global_step5").iterdir():
        path.unlink()
    with pytest.raises(CannotStart):
        copy_checkpoint(given, run_dir, copied(run_dir), Toy(), None)
    with pytest.raises(CannotStart):
        copy_checkpoint(given, run_dir.parent / "missing", copied(run_dir), Toy(), None)
    assert not copied(run_dir).exists()


def test_link_in_a_checkpoint_leads_nowhere(run_dir: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("of the service")
    (run_dir / "global_step5" / "more.pt").symlink_to(tmp_path / "secret")
    copy_checkpoint(planned(run_dir), run_dir, copied(run_dir), Toy(), None)
    assert set(files(copied(run_dir))) == {"global_step5/state.pt", "latest"}
