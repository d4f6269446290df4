import math
from dataclasses import fields, replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from api.domain.tasks.progress import NO_PROGRESS, MetricsView, Progress, ProgressReport, ProgressView, SpeedView, Stage
from api.domain.tasks.training import Attempt, AttemptStatus
from api.training.attempts.watch.progress_reports import reached, show_ended, show_progress
from tests.unit.builders import NOW

ATTEMPT = Attempt("t.1", "t", 1, AttemptStatus.RUNNING, "token", "here", "/d", (), (), None, NOW, NOW)


def parts(shown: ProgressReport) -> tuple[ProgressView, MetricsView, SpeedView]:
    return shown.progress, shown.metrics, shown.speed


def test_initial_report_has_all_fields_unknown_except_the_progress():
    known = {field.name: getattr(part, field.name) for part in parts(NO_PROGRESS) for field in fields(part)}
    assert {name: value for name, value in known.items() if value is not None} == {"overall_progress": 0.0}


def test_progress_has_every_field():
    progress, metrics, speed = parts(show_progress(Progress(), ATTEMPT, 5.0))
    assert (progress.stage, progress.training_time, progress.current_step) == (Stage.LOADING, 5.0, None)
    assert (metrics.nan_steps, metrics.current_loss, speed.steps_per_second) == (0, None, None)


def test_figures_are_combined():
    seen = Progress(
        stage=Stage.TRAINING, step=30, total_steps=90, epoch=2, steps_per_epoch=20, epoch_began_after=20,
        seconds_per_step=1.5, loss=0.25, samples_per_second=4.0,
    )  # fmt: skip
    progress, metrics, speed = parts(show_progress(seen, ATTEMPT, 0.0))
    assert (progress.overall_progress, progress.epoch_progress, progress.eta_seconds) == (33.33, 50.0, 90.0)
    assert (progress.eta_formatted, metrics.current_loss) == ("1m 30s", 0.25)
    assert (speed.steps_per_second, speed.time_per_step, speed.samples_per_second) == (0.6667, 1.5, 4.0)


def test_ended_attempt_has_no_stage_and_no_remaining_time():
    seen = Progress(stage=Stage.TRAINING, step=30, total_steps=90, seconds_per_step=1.5)
    progress, _, _ = parts(show_ended(seen, ATTEMPT, 0.0))
    assert (progress.stage, progress.eta_seconds, progress.eta_formatted, progress.current_step) == (
        None,
        None,
        None,
        30,
    )


def test_attempt_resumed_from_the_last_checkpoint_is_complete_without_a_step():
    resumed = replace(ATTEMPT, resumed_from="global_step90")
    before = show_progress(Progress(step=90, total_steps=90), ATTEMPT, 0.0)
    assert reached(Progress(total_steps=90), resumed, None).step == 90
    assert reached(Progress(), resumed, before).step == 90


def test_attempt_with_remaining_steps_that_made_none_has_no_progress():
    resumed = replace(ATTEMPT, resumed_from="global_step80")
    assert reached(Progress(total_steps=90), resumed, None).step is None
    assert reached(Progress(), resumed, None).step is None
    assert reached(Progress(total_steps=90), ATTEMPT, None).step is None


NUMBER = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@given(loss=NUMBER, best=NUMBER, rate=NUMBER, norm=NUMBER, speed=NUMBER, step=st.none() | st.integers(1, 10**9))
def test_json_has_no_invalid_numbers(loss: Any, best: Any, rate: Any, norm: Any, speed: Any, step: int | None):
    seen = Progress(
        loss=loss,
        best_loss=best,
        learning_rate=rate,
        grad_norm=norm,
        samples_per_second=speed,
        step=step,
        total_steps=5,
    )
    shown = show_progress(seen, ATTEMPT, 0.0)
    stored = orjson.loads(orjson.dumps(shown.as_json()))
    assert stored == shown.as_json()
    for part in ("progress", "metrics", "speed"):
        assert all(value is None or isinstance(value, str) or math.isfinite(value) for value in stored[part].values())
    assert ProgressReport.from_json(stored) == shown
