"""Plans of changes to files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.datasets.media_settings import Cut, CutBy, MediaSettings, Rectangle
from api.jobs.preprocessing.recipe import (
    Geometry,
    NothingLeft,
    changes_rate,
    plan_geometry,
    plan_spans,
    scaled,
)

SIDES = st.integers(1, 5000)


def test_no_settings_change_nothing():
    assert not plan_geometry(101, 57, MediaSettings(), is_video=True).changes


def test_resolution_crops_the_centre_and_scales():
    found = plan_geometry(200, 100, MediaSettings(width=64, height=64), is_video=False)
    assert found == Geometry(Rectangle(50, 0, 100, 100), (64, 64))


def test_picture_of_the_right_size_is_unchanged():
    assert not plan_geometry(64, 64, MediaSettings(width=64, height=64), is_video=True).changes


def test_crop_comes_before_the_size_and_stays_inside():
    found = plan_geometry(100, 80, MediaSettings(crop=Rectangle(50, 40, 500, 500)), is_video=False)
    assert found == Geometry(Rectangle(50, 40, 50, 40), None)
    with pytest.raises(NothingLeft, match="lies outside"):
        plan_geometry(100, 80, MediaSettings(crop=Rectangle(100, 0, 5, 5)), is_video=False)


def test_short_side_is_never_enlarged():
    assert plan_geometry(200, 100, MediaSettings(short_side=50), is_video=False).size == (100, 50)
    assert not plan_geometry(200, 100, MediaSettings(short_side=500), is_video=False).changes


def test_changed_video_has_even_sides():
    found = plan_geometry(200, 100, MediaSettings(crop=Rectangle(0, 0, 51, 33)), is_video=True)
    assert found == Geometry(Rectangle(0, 0, 51, 33), (50, 32))


@given(width=SIDES, height=SIDES, wanted=st.tuples(SIDES, SIDES), crop=st.tuples(SIDES, SIDES, SIDES, SIDES))
def test_a_crop_never_leaves_the_picture(
    width: int, height: int, wanted: tuple[int, int], crop: tuple[int, int, int, int]
):
    settings = MediaSettings(width=wanted[0], height=wanted[1], crop=Rectangle(*crop))
    try:
        found = plan_geometry(width, height, settings, is_video=False)
    except NothingLeft:
        return
    stored = found.crop or Rectangle(0, 0, width, height)
    assert 0 <= stored.x < stored.x + stored.width <= width
    assert 0 <= stored.y < stored.y + stored.height <= height
    assert (found.size or (stored.width, stored.height)) == wanted


def test_mask_of_another_size_is_cropped_in_proportion():
    geometry = Geometry(Rectangle(10, 20, 50, 40), (64, 64))
    assert scaled(geometry, (100, 80), (200, 160)) == Geometry(Rectangle(20, 40, 100, 80), (64, 64))
    assert scaled(geometry, (100, 80), (100, 80)) == geometry
    assert scaled(Geometry(geometry.crop), (100, 80), (200, 160)).size == (50, 40)


def spans(duration: float, cut: Cut | None, *scenes: tuple[float, float]) -> tuple[list[tuple[float, float]], int]:
    return plan_spans(duration, MediaSettings(cut=cut), scenes)


def test_video_is_cut_into_pieces_of_the_given_length():
    assert spans(10.0, None) == ([(0.0, 10.0)], 0)
    assert spans(10.0, Cut(CutBy.SECONDS, 4.0)) == ([(0.0, 4.0), (4.0, 8.0), (8.0, 10.0)], 0)
    assert spans(8.0, Cut(CutBy.SECONDS, 4.0)) == ([(0.0, 4.0), (4.0, 8.0)], 0)
    assert spans(3.0, Cut(CutBy.SECONDS, 4.0)) == ([(0.0, 3.0)], 0)


def test_too_short_pieces_are_counted_and_dropped():
    assert spans(10.0, Cut(CutBy.SECONDS, 4.0, min_seconds=3.0)) == ([(0.0, 4.0), (4.0, 8.0)], 1)
    with pytest.raises(NothingLeft, match=r"no piece of its 2\.0 s"):
        spans(2.0, Cut(CutBy.SECONDS, 4.0, min_seconds=3.0))


def test_long_scenes_are_cut_further():
    assert spans(9.0, Cut(CutBy.SCENE, 4.0), (0.0, 3.0), (3.0, 9.0))[0] == [(0.0, 3.0), (3.0, 7.0), (7.0, 9.0)]
    assert spans(9.0, Cut(CutBy.SCENE))[0] == [(0.0, 9.0)]


def test_number_of_pieces_is_limited():
    with pytest.raises(NothingLeft, match="more than 2,000 pieces"):
        spans(1e6, Cut(CutBy.SECONDS, 0.1))


@pytest.mark.parametrize(
    ("fps", "wanted", "changes"),
    [(16.0, 16.0, False), (16.0001, 16.0, False), (30.0, 16.0, True), (None, 16.0, True), (30.0, None, False)],
)
def test_only_another_rate_changes_a_video(fps: float | None, wanted: float | None, changes: bool):
    assert changes_rate(fps, wanted) is changes
