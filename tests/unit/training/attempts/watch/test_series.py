import math
from pathlib import Path

import pytest

from api.domain.tasks.progress import Point
from api.training.attempts.watch.series import Stretch, append_points
from api.training.series_views import list_tags, read_series

Curve = dict[int, float]


def write_curve(directory: Path, curve: Curve, tag: str = "train/loss", after_step: int | None = None) -> Stretch:
    directory.mkdir(parents=True, exist_ok=True)
    append_points(directory, [Point(tag, step, value, float(step)) for step, value in curve.items()])
    return Stretch(directory, after_step)


def read(*stretches: Stretch, tag: str = "train/loss") -> Curve:
    return {int(step): float(value) for step, value, _ in read_series(stretches, tag).tolist()}


def test_points_are_read_as_written(tmp_path: Path):
    write_curve(tmp_path, {1: 0.5, 2: math.inf, 2**40: -1e300})
    write_curve(tmp_path, {2**40 + 1: 7.0})
    assert read(Stretch(tmp_path)) == {1: 0.5, 2: math.inf, 2**40: -1e300, 2**40 + 1: 7.0}


def test_missing_series_is_empty(tmp_path: Path):
    assert read(Stretch(tmp_path), Stretch(tmp_path / "absent")) == {}
    assert list_tags([Stretch(tmp_path), Stretch(tmp_path / "absent")]) == []
    assert read() == {}


def test_no_points_write_nothing(tmp_path: Path):
    append_points(tmp_path / "series", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tag", ["train/loss", "../../x", "a b", "ä", "a%2Fb", ".", "..", "-", "x" * 200, "a\nb"])
def test_tag_survives_its_file_name(tmp_path: Path, tag: str):
    stretch = write_curve(tmp_path / "series", {1: 1.0}, tag)
    assert list_tags([stretch]) == [tag]
    assert read(stretch, tag=tag) == {1: 1.0}
    assert list(tmp_path.iterdir()) == [stretch.directory]


def test_partial_write_does_not_shift_later_records(tmp_path: Path):
    write_curve(tmp_path, {1: 1.0, 2: 2.0})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    assert read(Stretch(tmp_path)) == {1: 1.0}
    write_curve(tmp_path, {3: 3.0})
    assert read(Stretch(tmp_path)) == {1: 1.0, 3: 3.0}


def test_points_read_twice_are_shown_once(tmp_path: Path):
    write_curve(tmp_path, {1: 1.0, 2: 2.0, 3: 3.0})
    write_curve(tmp_path, {2: 2.5, 3: 3.5, 4: 4.0})
    assert read(Stretch(tmp_path)) == {1: 1.0, 2: 2.5, 3: 3.5, 4: 4.0}


# -- reducing ------------------------------------------------------------------------------------------------------


# -- as the API shows them -----------------------------------------------------------------------------------------
