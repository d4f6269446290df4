import pytest

from api.domain.log import LogLevel
from api.jobs.downloads.reader import DownloadLines, DownloadReader
from api.jobs.downloads.words import COMPLETED, refusal_line, step_line


def test_lines_tell_how_far_it_is():
    reader = DownloadReader()
    for at, line in enumerate((step_line(0, 3, 0, None), step_line(1, 3, 41.26, 75.4), "problem: again", "other")):
        reader.read(line, at)
    progress = reader.progress
    assert (progress.step, progress.first_step, progress.total_steps) == (1, 0, 3)
    assert (progress.overall_progress, progress.eta_seconds) == (41.3, 75.0)
    assert list(progress.warnings) == ["again"]
    reader.read(COMPLETED, 9)
    assert progress.phrases == {COMPLETED}


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (refusal_line("gated", "no"), LogLevel.ERROR),
        ("refused: no", LogLevel.ERROR),
        ("problem: again", LogLevel.WARNING),
        (step_line(1, 2, 3, 4), LogLevel.INFO),
    ],
)
def test_log_knows_what_lines_mean(line: str, level: LogLevel):
    assert DownloadLines().read(line).level is level
