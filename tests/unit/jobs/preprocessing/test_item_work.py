"""One item, from its file to its record."""

from pathlib import Path

import pytest

from api.domain.datasets.media_settings import Cut, CutBy, FirstFrame, MediaSettings
from api.jobs.preprocessing.item_work import ItemWork
from api.jobs.preprocessing.work import Record, WorkItem
from tests.media import clip, frames_in, picture


def work(tmp_path: Path, content: bytes, settings: MediaSettings, mask: bytes | None = None) -> Record:
    (tmp_path / "a").write_bytes(content)
    if mask is not None:
        (tmp_path / "m").write_bytes(mask)
    item = WorkItem("clips/a.mp4", "a", len(content), "k", None if mask is None else "m")
    return ItemWork(item, settings, tmp_path, tmp_path, lambda share: None).run()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("items") / "x.mp4", 30, 30).read_bytes()


def test_video_that_needs_no_change_stays(tmp_path: Path, video: bytes):
    record = work(tmp_path, video, MediaSettings(fps=30.0, video_format="mp4"))
    assert [(made.name, made.frame_count) for made in record.made] == [(None, 30)]
    assert record.problem is None


def test_video_is_cut_and_retimed_with_first_frames_beside(tmp_path: Path, video: bytes):
    settings = MediaSettings(fps=10.0, cut=Cut(CutBy.SECONDS, 0.5, 0.2), first_frame=FirstFrame.ADD)
    record = work(tmp_path, video, settings)
    assert [(made.suffix, made.frame_count) for made in record.made] == [
        ("_000", 5),
        ("_000_first", 1),
        ("_001", 5),
        ("_001_first", 1),
    ]
    assert len(frames_in(tmp_path / "k_001.mp4")) == 5


def test_first_frames_can_replace_videos(tmp_path: Path, video: bytes):
    record = work(tmp_path, video, MediaSettings(first_frame=FirstFrame.ONLY))
    assert [(made.suffix, made.extension) for made in record.made] == [("_first", ".png")]


def test_damaged_file_is_a_problem_of_the_item_not_of_the_disk(tmp_path: Path, video: bytes):
    webp = picture(60, 40, form="WEBP")
    small = MediaSettings(width=16, height=16)
    assert "cannot be decoded" in str(work(tmp_path, webp[: len(webp) // 2], small).problem)
    mask = picture(64, 48)
    assert "cannot be decoded" in str(work(tmp_path, video, small, mask[: len(mask) // 2]).problem)


def test_a_mask_is_changed_together_with_its_image(tmp_path: Path):
    record = work(tmp_path, picture(40, 30), MediaSettings(width=16, height=16), picture(40, 30))
    assert record.made[0].mask == "k_mask.png"
    untouched = work(tmp_path, picture(40, 30), MediaSettings(width=40, height=30), picture(40, 30))
    assert untouched.made[0].mask is None


@pytest.mark.parametrize(
    ("content", "settings", "why"),
    [
        (b"nothing", MediaSettings(fps=16.0), "cannot be opened"),
        (picture()[:200], MediaSettings(short_side=16), "cannot be decoded"),
        (picture(), MediaSettings(short_side=16), "not an image"),
    ],
)
def test_unreadable_item_stays_unchanged_with_the_reason(
    tmp_path: Path, content: bytes, settings: MediaSettings, why: str
):
    record = work(tmp_path, content, settings, b"no mask" if why == "not an image" else None)
    assert record.problem is not None
    assert why in record.problem
    assert [(made.suffix, made.name) for made in record.made] == [("", None)]


def test_a_cut_that_leaves_nothing_is_a_problem(tmp_path: Path, video: bytes):
    record = work(tmp_path, video, MediaSettings(cut=Cut(CutBy.SECONDS, 5.0, 3.0)))
    assert record.problem is not None
    assert "no piece" in record.problem


def test_failing_disk_is_not_a_problem_of_the_item(tmp_path: Path):
    (tmp_path / "a").write_bytes(picture(40, 30))
    item = WorkItem("a.png", "a", 1, "k")
    with pytest.raises(OSError, match="No such file"):
        ItemWork(item, MediaSettings(short_side=16), tmp_path, tmp_path / "gone", lambda share: None).run()
