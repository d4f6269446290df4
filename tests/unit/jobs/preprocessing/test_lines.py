"""What lines mean."""

from api.domain.log import LogLevel, LogType
from api.jobs.preprocessing.lines import WorkLines
from api.jobs.preprocessing.words import COMPLETED, problem_line, step_line


def test_lines_of_the_program_have_their_meaning():
    lines = WorkLines()
    assert lines.read(problem_line("a.mp4", "too short")).level is LogLevel.WARNING
    step = lines.read(step_line(3, 5, 50.0, 1.0))
    assert (step.step, step.type) == (3, LogType.TRAIN)
    assert lines.read(COMPLETED).level is LogLevel.INFO


def test_tracebacks_are_errors():
    lines = WorkLines()
    assert lines.read("Traceback (most recent call last):").level is LogLevel.ERROR
