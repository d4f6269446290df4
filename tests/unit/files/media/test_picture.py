import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from api.domain.datasets.media import Recipe
from api.files.media.picture import Undrawable, as_trained, thumbnail
from tests.unit.files.media.samples import picture, write_clip

WHOLE = (0.0, 0.0, 96.0, 64.0)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_thumbnail_fits_into_its_side(tmp_path: Path):
    picture((800, 400)).save(tmp_path / "a.png")
    small = opened(thumbnail(tmp_path / "a.png", 128))
    assert (small.format, small.size, small.mode) == ("JPEG", (128, 64), "RGB")


def test_thumbnail_of_a_video_is_its_first_frame(tmp_path: Path):
    small = opened(thumbnail(write_clip(tmp_path / "a.mp4", 5), 128))
    expected = picture((96, 64), 0)
    assert small.size == (96, 64)
    apart = np.abs(np.asarray(small, dtype=int) - np.asarray(expected, dtype=int))
    assert apart.mean() < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK", "I;16"])
def test_every_mode_has_a_thumbnail(tmp_path: Path, mode: str):
    image = Image.new(mode, (40, 30)) if mode in ("I;16", "LA") else picture((40, 30)).convert(mode)
    image.save(tmp_path / "a.tiff")
    assert opened(thumbnail(tmp_path / "a.tiff", 128)).mode == "RGB"


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_undecodable_file_has_no_thumbnail(tmp_path: Path, content: bytes):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Undrawable):
        thumbnail(tmp_path / "a.png", 128)


def test_transparent_pixels_are_blended_with_white(tmp_path: Path):
    Image.new("RGBA", (96, 64), (255, 0, 0, 0)).save(tmp_path / "a.png")
    made = opened(as_trained(tmp_path / "a.png", Recipe(32, 32, WHOLE, (0,), is_video=False), [0]))
    assert made.getpixel((5, 5)) == (255, 255, 255)


def test_image_is_cropped_and_scaled_by_its_recipe(tmp_path: Path):
    picture().save(tmp_path / "a.png")
    recipe = Recipe(32, 32, (16.0, 0.0, 80.0, 64.0), (0,), is_video=False)
    assert opened(as_trained(tmp_path / "a.png", recipe, [0])).tobytes() == ImageOps.fit(picture(), (32, 32)).tobytes()


def test_strip_has_its_frames_from_left_to_right(tmp_path: Path):
    path = write_clip(tmp_path / "a.mp4", 12)
    recipe = Recipe(48, 32, WHOLE, (0, 2, 4, 6), is_video=True, fps=12.5)
    strip = opened(as_trained(path, recipe, [0, 1, 2, 3]))
    assert strip.size == (192, 32)
    last = opened(as_trained(path, recipe, [3]))
    assert strip.crop((144, 0, 192, 32)).tobytes() == last.tobytes()


def test_missing_frames_are_an_error(tmp_path: Path):
    path = write_clip(tmp_path / "a.mp4", 5)
    with pytest.raises(Undrawable):
        as_trained(path, Recipe(48, 32, WHOLE, (0, 9), is_video=True), [0, 1])
