from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from api.domain.dataset import MediaFacts, MediaKind
from api.domain.media import MediaProbe, MediaSource
from api.errors import DecoderBusy
from api.files.media.probe import probe
from api.trainers.media import Budget, Looks, TooLong, Unreadable, look_at
from api.util.caller import has_caller_left
from tests.unit.trainers.diffusion_pipe.builders import write_image, write_video


class FakeExaminer:
    """Finds damage in files that are called so, and counts what it is asked."""

    children = 2

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def examine(self, source: MediaSource) -> MediaProbe:
        self.before()
        self.asked.append(source.path.name)
        if source.path.name.startswith("busy"):
            raise DecoderBusy
        if source.path.suffix == ".mp4":
            return MediaProbe(MediaFacts(MediaKind.VIDEO, "mp4", 64, 48, frame_count=5))
        problem = "unreadable" if source.path.name.startswith("damaged") else None
        return MediaProbe(MediaFacts(MediaKind.IMAGE, "png", 512, 512, problem=problem))


class InProcess:
    """Decodes files here."""

    children = 1

    def examine(self, source: MediaSource) -> MediaProbe:
        return probe(source.path)


def test_webp_whose_data_ends_too_early_is_damaged(tmp_path: Path):
    path = tmp_path / "a.webp"
    Image.effect_noise((64, 48), 90).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:-200])
    looks = Looks(examiner=InProcess())
    assert not looks.look(path).is_damaged
    assert looks.decode([path], Budget(60)).looks[str(path)].is_damaged


def test_decoding_finds_damaged_data_and_the_frames_that_are_there(tmp_path: Path):
    examiner = FakeExaminer()
    looks, budget = Looks(examiner=examiner), Budget(60)
    paths = [write_image(tmp_path / name) for name in ("a.png", "damaged.png", "busy.png")]
    write_video(tmp_path / "a.mp4", 12, 25, (64, 48))
    found = looks.decode([*paths, tmp_path / "a.mp4"], budget)
    assert {Path(path).name: look.is_damaged for path, look in found.looks.items()} == {
        "a.png": False,
        "damaged.png": True,
        "a.mp4": False,
    }
    assert found.looks[str(tmp_path / "a.mp4")].shown_frames == 5
    assert found.left == 1
    looks.decode([*paths, tmp_path / "a.mp4"], budget)
    assert sorted(examiner.asked) == ["a.mp4", "a.png", "busy.png", "busy.png", "damaged.png"]


def test_decoding_leaves_what_the_budget_does_not_allow(tmp_path: Path):
    path = write_image(tmp_path / "damaged.png")
    found = Looks(examiner=FakeExaminer()).decode([path], Budget(0))
    assert (found.looks, found.left) == ({}, 1)
    assert Looks().decode([path], Budget(60)).left == 0


def test_decoding_does_not_wait_for_a_file_beyond_the_budget(tmp_path: Path):
    examiner, goes_on = FakeExaminer(), Event()
    examiner.before = goes_on.wait
    looks, path = Looks(examiner=examiner), write_image(tmp_path / "damaged.png")
    assert looks.decode([path], Budget(0.05)).left == 1
    goes_on.set()
    assert looks.decode([path], Budget(60)).looks[str(path)].is_damaged


def test_video_tells_its_size_length_and_rate(tmp_path: Path):
    write_video(tmp_path / "a.mp4", 12, 25, (64, 48))
    look = look_at(tmp_path / "a.mp4")
    assert (look.width, look.height, look.frames, look.frames_per_second) == (64, 48, 12, float(Fraction(25)))


@pytest.mark.parametrize("text", ["#EXTM3U\nhttp://127.0.0.1:1/a.ts\n", "ffconcat version 1.0\nfile a.mp4\n", ""])
def test_playlist_is_no_video_whatever_its_suffix(tmp_path: Path, text: str):
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(Unreadable):
        look_at(tmp_path / "a.mp4")


def test_image_that_claims_to_be_a_bomb_is_measured_or_skipped_without_decoding(tmp_path: Path):
    header = b"P5 20000 20000 255\n"
    (tmp_path / "bomb.pgm").write_bytes(header)
    with pytest.raises(Unreadable):
        look_at(tmp_path / "bomb.pgm")


def test_looks_are_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_image(tmp_path / "a.png", (10, 20))
    looks, seen = Looks(), []

    def spy(path: Path):
        seen.append(path)
        return look_at(path)

    monkeypatch.setattr("api.trainers.media.look_at", spy)
    assert (looks.look(path).width, looks.look(path).width) == (10, 10)
    assert len(seen) == 1
    write_image(path, (30, 20))
    assert looks.look(path).width == 30


def test_looks_forget_the_oldest_beyond_their_capacity(tmp_path: Path):
    looks = Looks(capacity=2)
    for index in range(5):
        looks.look(write_image(tmp_path / f"{index}.png"))
    assert len(looks._seen) == 2


def test_budget_is_spent_when_its_time_is_over():
    now = [0.0]
    budget = Budget(3.0, monotonic=lambda: now[0])
    assert not budget.is_spent
    now[0] = 3.0
    assert budget.is_spent


def test_check_ends_when_the_one_who_asked_has_left():
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
def test_a_directory_is_no_picture_and_no_video(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    for look in (look_at, Looks().look):
        with pytest.raises(Unreadable):
            look(tmp_path / name)
