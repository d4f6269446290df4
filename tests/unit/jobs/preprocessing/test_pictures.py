"""The pictures of an item for a vision model."""

from pathlib import Path

from PIL import Image

from api.jobs.preprocessing.caption_program import PictureWork
from api.jobs.preprocessing.work import Record, WorkItem
from tests.media import clip, picture


def work(tmp_path: Path, content: bytes, frames: int = 3) -> Record:
    (tmp_path / "a").write_bytes(content)
    return PictureWork(WorkItem("a", "a", 1, "k"), frames, tmp_path, tmp_path, lambda share: None).run()


def test_image_becomes_a_small_picture(tmp_path: Path):
    assert [made.name for made in work(tmp_path, picture(3000, 100)).made] == ["k_0.jpg"]
    with Image.open(tmp_path / "k_0.jpg") as shown:
        assert (shown.format, shown.size) == ("JPEG", (1024, 34))


def test_video_becomes_some_frames(tmp_path: Path):
    record = work(tmp_path, clip(tmp_path / "x.mp4", 30).read_bytes())
    assert [made.name for made in record.made] == ["k_0.jpg", "k_1.jpg", "k_2.jpg"]


def test_other_file_has_no_pictures(tmp_path: Path):
    assert work(tmp_path, b"neither").problem is not None
    assert work(tmp_path, picture()[:100]).problem is not None
