from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.progress import Progress, Stage
from api.training.attempts.hangs import LONGEST_STEPS, USUAL_STEPS, HangLimits, describe_hang, is_stalled

LIMITS = HangLimits(step=300, quiet=1800)
START = 1000.0
QUIET_STAGES = [stage for stage in Stage if stage is not Stage.TRAINING]


def hangs(after: float, **known: Any) -> str | None:
    """Return the description of a hang this many seconds after the start."""
    return describe_hang(Progress(**known), START, START + after, LIMITS)


@pytest.mark.parametrize("stage", QUIET_STAGES)
def test_silence_without_steps_is_tolerated_longer(stage: Stage):
    assert hangs(1800, stage=stage) is None
    assert "has printed nothing for 1801 s" in str(hangs(1801, stage=stage))


@pytest.mark.parametrize("stage", QUIET_STAGES)
def test_any_line_counts_as_activity_without_steps(stage: Stage):
    assert hangs(3000, stage=stage, last_line_at=START + 1500) is None
    assert hangs(3000, stage=stage, stage_since=START + 1500) is None


def test_line_does_not_count_as_activity_while_steps_are_expected():
    assert hangs(1000, stage=Stage.TRAINING, seconds_per_step=1.0, last_step_at=START, last_line_at=START + 999)


def test_first_step_may_take_as_long_as_loading():
    assert hangs(1800, stage=Stage.TRAINING) is None
    assert "no step for 1801 s" in str(hangs(1801, stage=Stage.TRAINING))


@pytest.mark.parametrize(
    ("usual", "longest", "bound"), [(1.0, 1.0, 300), (20.0, 20.0, 400), (1.0, 200.0, 600), (60.0, 61.0, 1200)]
)
def test_limit_of_a_step_depends_on_earlier_steps(usual: float, longest: float, bound: float):
    known = {"stage": Stage.TRAINING, "seconds_per_step": usual, "longest_step": longest, "last_step_at": START}
    assert hangs(bound, **known) is None
    assert f"the limit is {bound} s" in str(hangs(bound + 1, **known))


def test_evaluation_time_does_not_count_for_the_next_step():
    known = {"stage": Stage.TRAINING, "seconds_per_step": 1.0, "last_step_at": START}
    assert hangs(1000, **known, stage_since=START + 900) is None


@pytest.mark.parametrize(("usual", "longest", "bound"), [(0.1, 0.2, 20), (10.0, 10.0, 50), (10.0, 40.0, 80)])
def test_pace_becomes_unknown_long_before_a_hang(usual: float, longest: float, bound: float):
    known = Progress(stage=Stage.TRAINING, seconds_per_step=usual, longest_step=longest, last_step_at=START)
    assert not is_stalled(known, START, START + bound, LIMITS)
    assert is_stalled(known, START, START + bound + 1, LIMITS)
    assert describe_hang(known, START, START + bound + 1, LIMITS) is None


@pytest.mark.parametrize("stage", QUIET_STAGES)
def test_stage_without_steps_is_stalled_when_it_hangs(stage: Stage):
    known = Progress(stage=stage, seconds_per_step=1.0, last_line_at=START)
    assert not is_stalled(known, START, START + 1800, LIMITS)
    assert is_stalled(known, START, START + 1801, LIMITS)


@given(
    stage=st.sampled_from(Stage),
    usual=st.none() | st.floats(0.001, 1e4),
    longest=st.none() | st.floats(0.001, 1e5),
    after=st.floats(0, 1e6),
)
def test_nothing_hangs_within_its_limits(stage: Stage, usual: float | None, longest: float | None, after: float):
    reason = hangs(after, stage=stage, seconds_per_step=usual, longest_step=longest)
    least = LIMITS.step if stage is Stage.TRAINING and usual is not None else LIMITS.quiet
    if after <= max(
        least, *(factor * (value or 0) for factor, value in [(USUAL_STEPS, usual), (LONGEST_STEPS, longest)])
    ):
        assert reason is None or stage is not Stage.TRAINING
    if after <= least:
        assert reason is None
    if after > max(LIMITS.quiet, USUAL_STEPS * (usual or 0), LONGEST_STEPS * (longest or 0)):
        assert reason is not None
