"""How far a preprocessing is, by its lines."""

from api.domain.progress import Stage
from api.jobs.preprocessing.reader import WorkReader
from api.jobs.preprocessing.words import COMPLETED, doing_line, problem_line, step_line


def read(*lines: str) -> WorkReader:
    reader = WorkReader(12)
    for number, line in enumerate(lines):
        assert reader.read(line, 100.0 + number) is None
    return reader


def test_steps_tell_how_much_is_done_and_left():
    progress = read(step_line(0, 12, 0.0, None), step_line(3, 12, 40.0, 60.0)).progress
    assert (progress.step, progress.total_steps, progress.first_step) == (3, 12, 0)
    assert (progress.overall_progress, progress.eta_seconds) == (40.0, 60.0)
    assert progress.stage is Stage.TRAINING


def test_activity_is_a_sign_of_life():
    progress = read(step_line(0, 1, 0.0, None), doing_line("working on", "a.mp4")).progress
    assert progress.activity == 'working on "a.mp4"'
    assert progress.last_step_at == 101.0


def test_problems_are_warnings_once():
    line = problem_line("a.mp4", "too short")
    assert list(read(line, line).progress.warnings) == ['"a.mp4": too short']


def test_a_phrase_counts_as_the_last_word_only():
    assert read(step_line(1, 1, 100.0, 0.0), COMPLETED).progress.phrases == {COMPLETED}
    assert read(COMPLETED, step_line(1, 1, 100.0, 0.0)).progress.phrases == set()
    assert read(f"x {COMPLETED}").progress.phrases == set()
