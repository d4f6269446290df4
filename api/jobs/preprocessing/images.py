"""Open, crop, scale and write images."""

from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from api.domain.datasets.media_settings import MediaSettings
from api.jobs.preprocessing.recipe import Geometry, plan_geometry, scaled
from api.jobs.preprocessing.work import Made

#: The accepted formats. Pillow supports more, but runs other programs for some of them.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")

EXTENSIONS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}

#: Formats that a changed image keeps. Any other format becomes PNG.
_WRITTEN = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}

#: Practically lossless for a trainer.
_JPEG_QUALITY = 97


def open_image(path: Path) -> Image.Image | None:
    """Open an image without decoding it; None if it is not an image. Raises Image.DecompressionBombError, OSError."""
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        return None


def make_image(image: Image.Image, settings: MediaSettings, results: Path, name: str) -> tuple[Made, Geometry]:
    """Apply the settings to an image and write it to `results`, unless nothing changes.

    Also return the geometry for its mask. Raises NothingLeft, OSError.
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
    """Apply the geometry of a file of this size to its mask or control image, and write a PNG.

    Raises ValueError if it is not an image, OSError.
    """
    image = open_image(source)
    if image is None:
        raise ValueError("its mask or control file is not an image")
    with image:
        upright = ImageOps.exif_transpose(image)
        own = scaled(geometry, size, upright.size)
        # A filter would blur the edges of masks.
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
    """Write the first frame of a video, and return its facts as those of an image."""
    image.save(target, "PNG")
    still = replace(made, suffix=f"{made.suffix}_first", extension=".png", name=target.name, fps=None, duration=None)
    return replace(still, width=image.width, height=image.height, frame_count=1, mask=None, control=None)
