"""Detection of scenes."""

from pathlib import Path

from api.jobs.preprocessing.scenes import find_scenes
from tests.media import clip


def test_a_video_is_divided_where_its_picture_changes(tmp_path: Path):
    ticks: list[float] = []
    scenes = find_scenes(clip(tmp_path / "x.mp4", 60, 30, (64, 48), 30), 27.0, 0.2, ticks.append)
    assert scenes == [(0.0, 1.0), (1.0, 2.0)]
    assert ticks


def test_a_video_without_a_change_is_one_scene(tmp_path: Path):
    assert find_scenes(clip(tmp_path / "x.mp4", 20), 27.0, 0.2, lambda at: None) == [(0.0, 20 / 30)]
