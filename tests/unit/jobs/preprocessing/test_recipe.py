"""What is to be done to a file, by what it is and what is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.media_settings import Cut, CutBy, MediaSettings, Rectangle
from api.jobs.preprocessing.recipe import (
    Geometry,
    NothingLeft,
    changes_rate,
    plan_geometry,
    plan_spans,
    scaled,
)

SIDES = st.integers(1, 5000)


def test_nothing_asked_changes_nothing():
    assert not plan_geometry(101, 57, MediaSettings(), is_video=True).changes


def test_a_resolution_crops_in_the_middle_to_its_shape_and_scales():
    found = plan_geometry(200, 100, MediaSettings(width=64, height=64), is_video=False)
    assert found == Geometry(Rectangle(50, 0, 100, 100), (64, 64))


def test_what_has_the_size_already_is_left_alone():
    assert not plan_geometry(64, 64, MediaSettings(width=64, height=64), is_video=True).changes


def test_a_crop_comes_before_the_size_and_stays_inside():
    found = plan_geometry(100, 80, MediaSettings(crop=Rectangle(50, 40, 500, 500)), is_video=False)
    assert found == Geometry(Rectangle(50, 40, 50, 40), None)
    with pytest.raises(NothingLeft, match="lies outside"):
        plan_geometry(100, 80, MediaSettings(crop=Rectangle(100, 0, 5, 5)), is_video=False)


def test_a_shorter_side_is_only_ever_made_smaller():
    assert plan_geometry(200, 100, MediaSettings(short_side=50), is_video=False).size == (100, 50)
    assert not plan_geometry(200, 100, MediaSettings(short_side=500), is_video=False).changes


def test_a_video_that_changes_gets_even_sides():
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
    kept = found.crop or Rectangle(0, 0, width, height)
    assert 0 <= kept.x < kept.x + kept.width <= width
    assert 0 <= kept.y < kept.y + kept.height <= height
    assert (found.size or (kept.width, kept.height)) == wanted


def test_a_mask_of_another_size_is_cropped_alike():
    geometry = Geometry(Rectangle(10, 20, 50, 40), (64, 64))
    assert scaled(geometry, (100, 80), (200, 160)) == Geometry(Rectangle(20, 40, 100, 80), (64, 64))
    assert scaled(geometry, (100, 80), (100, 80)) == geometry
    assert scaled(Geometry(geometry.crop), (100, 80), (200, 160)).size == (50, 40)


def spans(duration: float, cut: Cut | None, *scenes: tuple[float, float]) -> tuple[list[tuple[float, float]], int]:
    return plan_spans(duration, MediaSettings(cut=cut), scenes)


def test_a_video_is_cut_into_pieces_of_so_many_seconds():
    assert spans(10.0, None) == ([(0.0, 10.0)], 0)
    assert spans(10.0, Cut(CutBy.SECONDS, 4.0)) == ([(0.0, 4.0), (4.0, 8.0), (8.0, 10.0)], 0)
    assert spans(8.0, Cut(CutBy.SECONDS, 4.0)) == ([(0.0, 4.0), (4.0, 8.0)], 0)
    assert spans(3.0, Cut(CutBy.SECONDS, 4.0)) == ([(0.0, 3.0)], 0)


def test_pieces_that_are_too_short_are_counted_and_left_out():
    assert spans(10.0, Cut(CutBy.SECONDS, 4.0, min_seconds=3.0)) == ([(0.0, 4.0), (4.0, 8.0)], 1)
    with pytest.raises(NothingLeft, match=r"no piece of its 2\.0 s"):
        spans(2.0, Cut(CutBy.SECONDS, 4.0, min_seconds=3.0))


def test_long_scenes_are_cut_further():
    assert spans(9.0, Cut(CutBy.SCENE, 4.0), (0.0, 3.0), (3.0, 9.0))[0] == [(0.0, 3.0), (3.0, 7.0), (7.0, 9.0)]
    assert spans(9.0, Cut(CutBy.SCENE))[0] == [(0.0, 9.0)]


def test_no_video_becomes_more_pieces_than_anybody_wants():
    with pytest.raises(NothingLeft, match="more than 2,000 pieces"):
        spans(1e6, Cut(CutBy.SECONDS, 0.1))


@pytest.mark.parametrize(
    ("fps", "wanted", "changes"),
    [(16.0, 16.0, False), (16.0001, 16.0, False), (30.0, 16.0, True), (None, 16.0, True), (30.0, None, False)],
)
def test_only_another_rate_changes_a_video(fps: float | None, wanted: float | None, changes: bool):
    assert changes_rate(fps, wanted) is changes
