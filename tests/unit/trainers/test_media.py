from fractions import Fraction
from pathlib import Path

import pytest

from api.trainers.media import Budget, Looks, TooLong, Unreadable, look_at
from api.utils.caller import has_caller_left
from tests.unit.trainers.diffusion_pipe.builders import write_image, write_video


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
