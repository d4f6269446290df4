from pathlib import Path

import pytest

from api.executors.slurm.notes import JobNote, JobNotes, has_no_output


def test_attempt_belongs_to_slurm_if_it_has_a_note_even_a_damaged_one(tmp_path: Path) -> None:
    assert JobNotes().get(tmp_path) is None
    (tmp_path / "slurm.json").write_text('{"job_id')
    assert JobNotes().get(tmp_path) == JobNote()


def test_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "slurm.json").write_text('{"job_id": 4}')
    assert JobNotes().get(tmp_path) == JobNote(4)


def test_notes_survive_a_restart(tmp_path: Path) -> None:
    notes = JobNotes()
    notes.note_job(tmp_path, 4)
    notes.note_loss(tmp_path)
    notes.note_job(tmp_path, 5)
    notes.note_leave(tmp_path, "time_limit", "until noon")
    notes.note_leave(tmp_path, "preempted", "later")
    assert JobNotes().get(tmp_path) == JobNote(5, 1, "time_limit", "until noon")


@pytest.mark.parametrize(
    ("printed", "is_silent"),
    [(None, True), ("", True), ("slurmstepd: error: *** JOB 5 CANCELLED ***\n", True), ("python: not found\n", False)],
)
def test_slurms_own_lines_are_not_output_of_a_job(tmp_path: Path, printed: str | None, is_silent: bool) -> None:
    if printed is not None:
        (tmp_path / "supervisor.log").write_text(printed)
    assert has_no_output(tmp_path) is is_silent
