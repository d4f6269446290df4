import math
from pathlib import Path

from api.domain.progress import Point
from api.training.attempts.series import Stretch, append_points
from api.training.metrics import show_series
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
