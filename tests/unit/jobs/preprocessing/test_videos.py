"""Videos, re-timed, cropped, scaled and written."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from api.domain.datasets.media_settings import Rectangle
from api.jobs.preprocessing.recipe import Geometry
from api.jobs.preprocessing.videos import NoVideo, find_scenes, open_video, read_facts, read_first, retimed, write_video
from tests.media import brightness, clip, frames_in


def quiet(at: float) -> None:
    """Ignore the progress."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds at 30 frames per second."""
    return clip(tmp_path_factory.mktemp("videos") / "source.mp4", 90)


def test_video_has_its_facts(source: Path):
    facts = read_facts(source)
    assert (facts.width, facts.height, facts.fps, facts.duration, facts.frame_count) == (64, 48, 30.0, 3.0, 90)
    assert (facts.codec, facts.turn, facts.has_audio) == ("h264", 0, False)


def test_retimed_video_has_the_trainers_number_of_frames(source: Path, tmp_path: Path):
    written = write_video(source, read_facts(source), (0.0, 3.0), 16.0, Geometry(), tmp_path / "made.mp4", quiet)
    assert (written.frames, written.fps, written.duration) == (48, 16.0, 3.0)
    assert read_facts(tmp_path / "made.mp4").fps == 16.0
    # Each frame is the one shown at its time.
    shown, made = brightness(source), brightness(tmp_path / "made.mp4")
    expected = [shown[int(number / 16 * 30 + 1e-6)] for number in range(48)]
    assert all(abs(one - other) <= 2 for one, other in zip(made, expected, strict=True))


def test_piece_starts_and_ends_at_its_frames(source: Path, tmp_path: Path):
    written = write_video(source, read_facts(source), (1.0, 2.0), None, Geometry(), tmp_path / "made.mp4", quiet)
    assert written.frames == 30
    made, shown = brightness(tmp_path / "made.mp4"), brightness(source)
    assert all(abs(one - other) <= 2 for one, other in zip(made, shown[30:60], strict=True))


def test_a_video_is_cropped_and_scaled(source: Path, tmp_path: Path):
    geometry = Geometry(Rectangle(8, 8, 32, 32), (16, 16))
    written = write_video(
        source, read_facts(source), (0.0, 0.5), None, geometry, tmp_path / "made.mp4", quiet, wants_first=True
    )
    assert set(frames_in(tmp_path / "made.mp4")) == {(16, 16)}
    assert written.first is not None
    assert written.first.size == read_first(source, read_facts(source), (0.0, 0.5), geometry).size == (16, 16)


def test_ticks_report_the_progress(source: Path, tmp_path: Path):
    ticks: list[float] = []
    write_video(source, read_facts(source), (0.0, 1.0), None, Geometry(), tmp_path / "made.mp4", ticks.append)
    assert ticks == sorted(ticks)
    assert len(ticks) >= 30


@pytest.mark.parametrize(
    "content", [b"", b"no video", b"#EXTM3U\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile x"]
)
def test_file_that_is_not_a_video_is_rejected(tmp_path: Path, content: bytes):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(NoVideo):
        open_video(tmp_path / "x.mp4")


def test_audio_file_is_not_a_video(tmp_path: Path):
    with av.open(str(tmp_path / "x.mp4"), "w", format="mp4") as container:
        add_sound(container, container.add_stream("aac", rate=48_000, layout="stereo"), 1.0)
    with pytest.raises(NoVideo, match="no pictures"):
        read_facts(tmp_path / "x.mp4")


def add_sound(container: Any, stream: Any, seconds: float) -> None:
    for number in range(int(seconds * 48)):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1000), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, number * 1000
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def test_sound_is_kept_on_request(source: Path, tmp_path: Path):
    loud = tmp_path / "loud.mp4"
    with av.open(str(loud), "w") as container, av.open(str(source)) as given:
        picture = container.add_stream_from_template(given.streams.video[0])
        sound = container.add_stream("aac", rate=48_000, layout="stereo")
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
        add_sound(container, sound, 3.0)
    made, facts = tmp_path / "made.mp4", read_facts(loud)
    assert facts.has_audio
    write_video(loud, facts, (1.0, 2.0), 16.0, Geometry(), made, quiet, keep_audio=True)
    with av.open(str(made)) as container:
        assert 0.9 <= float(container.streams.audio[0].duration * container.streams.audio[0].time_base) <= 1.1
    write_video(loud, facts, (1.0, 2.0), 16.0, Geometry(), made, quiet)
    assert not read_facts(made).has_audio


@pytest.mark.parametrize(
    ("frames", "fps", "seconds", "wanted"), [(10, 5.0, 1.0, 5), (10, 20.0, 1.0, 20), (10, 16.0, 0.0, 0)]
)
def test_number_of_frames_follows_from_the_duration(frames: int, fps: float, seconds: float, wanted: int):
    shown = ((number / 10, number) for number in range(frames))
    taken = list(retimed(shown, fps, seconds))
    assert len(taken) == wanted
    assert taken == sorted(taken)


def test_a_video_is_divided_where_its_picture_changes(tmp_path: Path):
    ticks: list[float] = []
    scenes = find_scenes(clip(tmp_path / "x.mp4", 60, 30, (64, 48), 30), 27.0, 0.2, ticks.append)
    assert scenes == [(0.0, 1.0), (1.0, 2.0)]
    assert ticks


def test_a_video_without_a_change_is_one_scene(tmp_path: Path):
    assert find_scenes(clip(tmp_path / "x.mp4", 20), 27.0, 0.2, lambda at: None) == [(0.0, 20 / 30)]
