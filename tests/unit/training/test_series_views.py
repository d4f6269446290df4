import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.tasks.progress import Point
from api.training.attempts.watch.series import EPOCH_LOSS, Stretch, append_points
from api.training.series_views import RECORD, Records, read_series, show_series, thin_out
from api.training.views import XAxis

Curve = dict[int, float]


def write_curve(directory: Path, curve: Curve, tag: str = "train/loss", after_step: int | None = None) -> Stretch:
    directory.mkdir(parents=True, exist_ok=True)
    append_points(directory, [Point(tag, step, value, float(step)) for step, value in curve.items()])
    return Stretch(directory, after_step)


def test_known_tags_have_short_names(tmp_path: Path):
    for tag in ("train/loss", "train/learning_rate", "held_out/loss"):
        write_curve(tmp_path, {1: 1.0}, tag)
    shown = show_series([Stretch(tmp_path)], "learning_rate", XAxis.STEP, 10, None)
    assert shown.available == ("held_out/loss", "learning_rate", "loss")
    assert [point.value for point in shown.data] == [1.0]


def test_only_the_epoch_loss_has_an_epoch_axis(tmp_path: Path):
    write_curve(tmp_path, {1: 5.0}, "train/epoch_loss")
    write_curve(tmp_path, {7: 6.0})
    by_epoch = show_series([Stretch(tmp_path)], "loss", XAxis.EPOCH, 10, None)
    assert (by_epoch.type, by_epoch.data[0].epoch, by_epoch.data[0].step) == (XAxis.EPOCH, 1, None)
    by_step = show_series([Stretch(tmp_path)], "loss", XAxis.STEP, 10, None)
    assert (by_step.type, by_step.data[0].epoch, by_step.data[0].step) == (XAxis.STEP, None, 7)


def test_values_are_counted_after_the_cut(tmp_path: Path):
    write_curve(tmp_path, {1: math.nan, 2: 2.0, 3: 3.0})
    shown = show_series([Stretch(tmp_path)], "loss", XAxis.STEP, 10, 2)
    assert (shown.total, shown.nan_count, shown.is_downsampled) == (2, 0, False)


VALUES = st.lists(st.floats(width=32) | st.just(math.nan), min_size=1, max_size=300)


def read(*stretches: Stretch, tag: str = "train/loss") -> Curve:
    return {int(step): float(value) for step, value, _ in read_series(stretches, tag).tolist()}


def records(values: list[float]) -> Records:
    return np.array([(step, value, 0.0) for step, value in enumerate(values)], dtype=RECORD)


def test_later_attempt_replaces_values_from_its_start(tmp_path: Path):
    first = write_curve(tmp_path / "1", dict.fromkeys(range(1, 11), 1.0))
    second = write_curve(tmp_path / "2", dict.fromkeys(range(6, 8), 2.0))
    assert read(first, second) == {**dict.fromkeys(range(1, 6), 1.0), 6: 2.0, 7: 2.0}


def test_steps_beyond_the_checkpoint_are_void_before_the_next_attempt_makes_one(tmp_path: Path):
    first = write_curve(tmp_path / "1", dict.fromkeys(range(1, 13), 1.0))
    resumed = write_curve(tmp_path / "2", {}, after_step=10)
    assert list(read(first, resumed)) == list(range(1, 11))


def test_attempt_from_scratch_restarts_its_curve(tmp_path: Path):
    first = write_curve(tmp_path / "1", dict.fromkeys(range(1, 13), 1.0))
    assert read(first, write_curve(tmp_path / "2", {}, after_step=0)) == {}


def test_epoch_losses_stay_whatever_steps_are_void(tmp_path: Path):
    first = write_curve(tmp_path / "1", {1: 2.0, 2: 1.0}, EPOCH_LOSS)
    resumed = write_curve(tmp_path / "2", {}, EPOCH_LOSS, after_step=1)
    assert read(first, resumed, tag=EPOCH_LOSS) == {1: 2.0, 2: 1.0}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 10)), min_size=1, max_size=4))
def test_steps_over_attempts_are_sorted_and_unique(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, int]]
):
    root = tmp_path_factory.mktemp("series")
    stretches = [
        write_curve(root / str(number), {step: float(number) for step in range(first, first + count)})
        for number, (first, count) in enumerate(attempts)
    ]
    shown = read(*stretches)
    assert list(shown) == sorted(shown)
    first, count = attempts[-1]
    assert [step for step, value in shown.items() if value == len(attempts) - 1] == list(range(first, first + count))


@settings(max_examples=200, deadline=None)
@given(values=VALUES, limit=st.integers(4, 320))
def test_reduced_series_keeps_its_maximum_and_minimum(values: list[float], limit: int):
    thinned = thin_out(records(values), limit)
    shown = thinned.records["value"]
    assert 1 <= len(shown) <= max(limit, 2)
    assert (thinned.total, thinned.nan_count) == (len(values), sum(map(math.isnan, values)))
    known = [value for value in values if not math.isnan(value)]
    if known:
        assert np.nanmin(shown) == min(known)
        assert np.nanmax(shown) == max(known)


@settings(max_examples=100, deadline=None)
@given(values=VALUES, limit=st.integers(1, 320))
def test_reduced_series_is_an_ordered_part_of_the_whole(values: list[float], limit: int):
    thinned = thin_out(records(values), limit).records
    steps = thinned["step"].tolist()
    assert steps == sorted(set(steps))
    assert len(steps) <= max(limit, min(2, len(values)))
    assert all(value == values[step] or math.isnan(values[step]) for step, value, _ in thinned.tolist())


def test_series_within_the_limit_is_unchanged():
    whole = records([3.0, math.nan, 1.0])
    assert thin_out(whole, 3).records is whole


def test_first_and_last_value_are_always_included():
    assert {0, 999} <= set(thin_out(records([float(n % 7) for n in range(1000)]), 10).records["step"].tolist())
