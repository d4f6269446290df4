from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe, MediaSource
from api.errors import DecoderBusy
from api.files.media.probe import probe
from api.trainers.media import Budget, MediaInfoCache, TooLong, Unreadable, read_header
from api.util.http.caller import has_caller_left
from tests.unit.trainers.diffusion_pipe.builders import write_image, write_video


class FakeExaminer:
    """Reports damage for files with certain names, and counts its calls."""

    children = 2

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def examine(self, source: MediaSource) -> MediaProbe:
        self.before()
        self.calls.append(source.path.name)
        if source.path.name.startswith("busy"):
            raise DecoderBusy
        if source.path.suffix == ".mp4":
            return MediaProbe(MediaFacts(MediaKind.VIDEO, "mp4", 64, 48, frame_count=5))
        problem = "unreadable" if source.path.name.startswith("damaged") else None
        return MediaProbe(MediaFacts(MediaKind.IMAGE, "png", 512, 512, problem=problem))


class InProcess:
    """Decodes files in the test's process."""

    children = 1

    def examine(self, source: MediaSource) -> MediaProbe:
        return probe(source.path)


def test_truncated_webp_is_damaged(tmp_path: Path):
    path = tmp_path / "a.webp"
    Image.effect_noise((64, 48), 90).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:-200])
    cache = MediaInfoCache(examiner=InProcess())
    assert not cache.read_info(path).is_damaged
    assert cache.decode([path], Budget(60)).infos[str(path)].is_damaged


def test_decoding_finds_damaged_data_and_counts_frames(tmp_path: Path):
    examiner = FakeExaminer()
    cache, budget = MediaInfoCache(examiner=examiner), Budget(60)
    paths = [write_image(tmp_path / name) for name in ("a.png", "damaged.png", "busy.png")]
    write_video(tmp_path / "a.mp4", 12, 25, (64, 48))
    found = cache.decode([*paths, tmp_path / "a.mp4"], budget)
    assert {Path(path).name: info.is_damaged for path, info in found.infos.items()} == {
        "a.png": False,
        "damaged.png": True,
        "a.mp4": False,
    }
    assert found.infos[str(tmp_path / "a.mp4")].shown_frames == 5
    assert found.left == 1
    cache.decode([*paths, tmp_path / "a.mp4"], budget)
    assert sorted(examiner.calls) == ["a.mp4", "a.png", "busy.png", "busy.png", "damaged.png"]


def test_decoding_stops_at_the_end_of_the_budget(tmp_path: Path):
    path = write_image(tmp_path / "damaged.png")
    found = MediaInfoCache(examiner=FakeExaminer()).decode([path], Budget(0))
    assert (found.infos, found.left) == ({}, 1)
    assert MediaInfoCache().decode([path], Budget(60)).left == 0


def test_decoding_does_not_wait_longer_than_the_budget(tmp_path: Path):
    examiner, goes_on = FakeExaminer(), Event()
    examiner.before = goes_on.wait
    cache, path = MediaInfoCache(examiner=examiner), write_image(tmp_path / "damaged.png")
    assert cache.decode([path], Budget(0.05)).left == 1
    goes_on.set()
    assert cache.decode([path], Budget(60)).infos[str(path)].is_damaged


def test_video_has_size_length_and_rate(tmp_path: Path):
    write_video(tmp_path / "a.mp4", 12, 25, (64, 48))
    info = read_header(tmp_path / "a.mp4")
    assert (info.width, info.height, info.frames, info.frames_per_second) == (64, 48, 12, float(Fraction(25)))


@pytest.mark.parametrize("text", ["#EXTM3U\nhttp://127.0.0.1:1/a.ts\n", "ffconcat version 1.0\nfile a.mp4\n", ""])
def test_playlist_is_not_a_video(tmp_path: Path, text: str):
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(Unreadable):
        read_header(tmp_path / "a.mp4")


def test_image_with_a_huge_header_size_is_not_decoded(tmp_path: Path):
    header = b"P5 20000 20000 255\n"
    (tmp_path / "bomb.pgm").write_bytes(header)
    with pytest.raises(Unreadable):
        read_header(tmp_path / "bomb.pgm")


def test_media_info_is_cached_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_image(tmp_path / "a.png", (10, 20))
    cache, seen = MediaInfoCache(), []

    def spy(path: Path):
        seen.append(path)
        return read_header(path)

    monkeypatch.setattr("api.trainers.media.read_header", spy)
    assert (cache.read_info(path).width, cache.read_info(path).width) == (10, 10)
    assert len(seen) == 1
    write_image(path, (30, 20))
    assert cache.read_info(path).width == 30


def test_media_info_cache_drops_the_oldest_entries(tmp_path: Path):
    cache = MediaInfoCache(capacity=2)
    for index in range(5):
        cache.read_info(write_image(tmp_path / f"{index}.png"))
    assert len(cache._seen) == 2


def test_budget_is_spent_after_its_time():
    now = [0.0]
    budget = Budget(3.0, monotonic=lambda: now[0])
    assert not budget.is_spent
    now[0] = 3.0
    assert budget.is_spent


def test_check_ends_when_the_caller_disconnects():
    left = False
    token = has_caller_left.set(lambda: left)
    budget = Budget(3.0)
    has_caller_left.reset(token)
    budget.require()
    left = True
    assert budget.is_spent
    with pytest.raises(TooLong):
        budget.require()


@pytest.mark.parametrize("name", ["a.png", "a.mp4", "a.webp"])
def test_directory_is_neither_picture_nor_video(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    for read in (read_header, MediaInfoCache().read_info):
        with pytest.raises(Unreadable):
            read(tmp_path / name)
