"""Images, cropped, scaled and written."""

from pathlib import Path

import pytest
from PIL import Image

from api.domain.datasets.media_settings import MediaSettings, Rectangle
from api.jobs.preprocessing.images import make_image, make_side_image, open_image, save_first_frame
from api.jobs.preprocessing.recipe import Geometry
from api.jobs.preprocessing.work import Made
from tests.media import picture


def make(tmp_path: Path, content: bytes, settings: MediaSettings) -> Made:
    source = tmp_path / "source"
    source.write_bytes(content)
    image = open_image(source)
    assert image is not None
    with image:
        return make_image(image, settings, tmp_path, "k")[0]


def test_unchanged_image_has_no_new_file(tmp_path: Path):
    made = make(tmp_path, picture(40, 30), MediaSettings(width=40, height=30, image_format="png"))
    assert (made.name, made.extension, made.width, made.height) == (None, None, 40, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_image_is_cropped_and_scaled(tmp_path: Path):
    made = make(tmp_path, picture(40, 30), MediaSettings(width=16, height=16))
    assert (made.name, made.extension, made.width, made.height) == ("k.png", ".png", 16, 16)
    with Image.open(tmp_path / "k.png") as image:
        assert image.size == (16, 16)


@pytest.mark.parametrize(("form", "name"), [("jpeg", "k.jpg"), ("webp", "k.webp"), ("png", "k.png")])
def test_an_image_is_converted(tmp_path: Path, form: str, name: str):
    assert make(tmp_path, picture(form="BMP"), MediaSettings(image_format=form)).name == name
    with Image.open(tmp_path / name) as image:
        assert image.format == form.upper()


def test_changed_image_is_rotated_upright(tmp_path: Path):
    source, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(source, exif=exif)
    made = make(tmp_path, source.read_bytes(), MediaSettings(short_side=15))
    assert (made.width, made.height) == (15, 20)


def test_a_mask_keeps_its_edges(tmp_path: Path):
    mask = Image.new("L", (40, 30), 0)
    mask.paste(255, (0, 0, 20, 30))
    mask.save(tmp_path / "mask", "PNG")
    geometry = Geometry(Rectangle(10, 0, 20, 30), (60, 90))
    make_side_image(tmp_path / "mask", geometry, (40, 30), tmp_path / "made.png")
    with Image.open(tmp_path / "made.png") as made:
        assert made.size == (60, 90)
        assert {value for _, value in made.getcolors() or ()} == {0, 255}


def test_mask_that_is_not_an_image_is_rejected(tmp_path: Path):
    (tmp_path / "mask").write_bytes(b"none")
    with pytest.raises(ValueError, match="not an image"):
        make_side_image(tmp_path / "mask", Geometry(), (1, 1), tmp_path / "made.png")
    assert open_image(tmp_path / "mask") is None


def test_first_frame_is_written_beside_its_piece(tmp_path: Path):
    made = save_first_frame(Image.new("RGB", (8, 6)), tmp_path / "x.png", Made("_001", ".mp4", "k.mp4", fps=16.0))
    assert (made.suffix, made.extension, made.name, made.fps) == ("_001_first", ".png", "x.png", None)
