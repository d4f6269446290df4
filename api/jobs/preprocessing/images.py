"""Images: opened within bounds, cropped, scaled and written."""

from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from api.domain.media_settings import MediaSettings
from api.jobs.preprocessing.recipe import Geometry, plan_geometry, scaled
from api.jobs.preprocessing.work import Made

#: What an image may be: Pillow knows more, and starts programs of others for some of it.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")

EXTENSIONS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}

#: Formats that are written as they came in; any other one becomes PNG when it is changed.
_WRITTEN = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}

#: As good as lossless to a trainer, whose own files are decoded once more.
_JPEG_QUALITY = 97


def open_image(path: Path) -> Image.Image | None:
    """The image, not decoded yet; None when it is none. Raises Image.DecompressionBombError, OSError."""
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        return None


def make_image(image: Image.Image, settings: MediaSettings, results: Path, name: str) -> tuple[Made, Geometry]:
    """Makes of the image what is asked for, in `results`; what would not change has no file of its own.

    Returns as well what is to be done to its mask. Raises NothingLeft, OSError.
    """
    upright = ImageOps.exif_transpose(image)
    geometry = plan_geometry(upright.width, upright.height, settings, is_video=False)
    form = settings.image_format or _WRITTEN.get(image.format or "", "png")
    if not geometry.changes and settings.image_format in (None, _WRITTEN.get(image.format or "")):
        return Made("", None, width=image.width, height=image.height, frame_count=1), geometry
    changed = _apply(upright, geometry)
    file = f"{name}{EXTENSIONS[form]}"
    _save(changed, form, results / file)
    return Made("", EXTENSIONS[form], file, width=changed.width, height=changed.height, frame_count=1), geometry


def make_side_image(source: Path, geometry: Geometry, size: tuple[int, int], target: Path) -> None:
    """Does to a mask or control image what was done to the file of this size that it stands beside; writes PNG.

    Raises ValueError when it is no image, OSError.
    """
    image = open_image(source)
    if image is None:
        raise ValueError("its mask or control file is no image")
    with image:
        upright = ImageOps.exif_transpose(image)
        own = scaled(geometry, size, upright.size)
        # Masks have edges, which no filter may blur.
        _save(_apply(upright, own, Image.Resampling.NEAREST), "png", target)


def _apply(
    image: Image.Image, geometry: Geometry, resampling: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if geometry.crop is not None:
        crop = geometry.crop
        image = image.crop((crop.x, crop.y, crop.x + crop.width, crop.y + crop.height))
    return image if geometry.size is None else image.resize(geometry.size, resampling)


def _save(image: Image.Image, form: str, target: Path) -> None:
    if form == "jpeg":
        image.convert("RGB").save(target, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    elif form == "webp":
        image.convert("RGBA" if "A" in image.getbands() else "RGB").save(target, "WEBP", lossless=True)
    else:
        image.save(target, "PNG")


def save_first_frame(image: Image.Image, target: Path, made: Made) -> Made:
    """Writes the first frame of a video; what it says of the video becomes that of an image."""
    image.save(target, "PNG")
    still = replace(made, suffix=f"{made.suffix}_first", extension=".png", name=target.name, fps=None, duration=None)
    return replace(still, width=image.width, height=image.height, frame_count=1, mask=None, control=None)
