"""An attempt's directory and log, for tests of watches."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from api.domain.tasks.training import Attempt, AttemptStatus, TrainingPlan, TrainingRequest, TrainingTask
from api.executors.executor import AttemptRef
from api.executors.fake import FakeExecutor
from api.trainers.toy.trainer import Toy
from api.training.attempts.watch.series import Stretch
from api.training.attempts.watch.updates import FakeNews
from api.training.attempts.watch.watch import AttemptWatch
from api.training.intake import preview
from api.training.series_views import read_series
from api.util.clock import FakeClock
from tests.unit.builders import NOW

PLAN = TrainingPlan("toy", "toy", 1, epochs=3, steps_per_epoch=10, total_steps=30)


class Watched:
    """An attempt's directory and log, and successive watches over it."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.directory = root / "attempts" / "1"
        self.output = root / "output"
        for directory in (self.directory, self.output):
            directory.mkdir(parents=True)
        self.ref = AttemptRef("t.1", self.directory, root / "log")
        self.executor = FakeExecutor()
        self.clock = clock
        self.news = FakeNews()

    def watch(self, log_start: int | None = 0, **changes: Any) -> AttemptWatch:
        """Return a new watch, as after a restart of the service."""
        request = TrainingRequest("toy")
        shown = preview("t", request, PLAN, NOW)
        task = TrainingTask(
            **{name: getattr(shown, name) for name in shown.__slots__},
            notes=None,
            trigger_word=None,
            request=request,
            plan=PLAN,
        )
        plain = Attempt("t.1", "t", 1, AttemptStatus.RUNNING, "x", "here", str(self.directory), (), (), None, NOW)
        made = AttemptWatch(task, replace(plain, **changes), self.ref, Toy(), self.executor, self.clock, self.news)
        if made.log_start is None:
            made.log_start = log_start
        return made

    def prints(self, text: str | bytes) -> None:
        self.executor.prints(self.ref.log_directory, text.encode() if isinstance(text, str) else text)

    def run_dir(self, name: str = "20260101_00-00-00", *steps: int) -> Path:
        directory = self.output / name
        directory.mkdir(exist_ok=True)
        for step in steps:
            (directory / f"global_step{step}").mkdir()
            (directory / f"global_step{step}" / "state").write_text("x")
            (directory / "latest").write_text(f"global_step{step}")
        return directory

    def losses(self) -> dict[int, float]:
        series = read_series([Stretch(self.directory / "series")], "train/loss")
        return {int(step): float(value) for step, value, _ in series.tolist()}


def step(number: int, loss: float = 0.5) -> str:
    return f"steps: {number} loss: {loss} iter time (s): 1.0 samples/sec: 2.0\n"
