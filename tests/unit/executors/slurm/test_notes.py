from pathlib import Path

import pytest

from api.executors.slurm.notes import JobNote, JobNotes, left_no_word


def test_an_attempt_without_a_note_is_not_slurms_and_one_with_a_damaged_one_is(tmp_path: Path) -> None:
    assert JobNotes().get(tmp_path) is None
    (tmp_path / "slurm.json").write_text('{"job_id')
    assert JobNotes().get(tmp_path) == JobNote()


def test_a_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "slurm.json").write_text('{"job_id": 4}')
    assert JobNotes().get(tmp_path) == JobNote(4)


def test_what_is_kept_outlives_who_kept_it(tmp_path: Path) -> None:
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
def test_slurms_own_lines_are_no_words_of_a_job(tmp_path: Path, printed: str | None, is_silent: bool) -> None:
    if printed is not None:
        (tmp_path / "supervisor.log").write_text(printed)
    assert left_no_word(tmp_path) is is_silent
