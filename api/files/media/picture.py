"""Pictures of media files: thumbnails, and the exact pixels that a trainer makes with a recipe."""

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from api.domain.datasets.media import VIDEO_OPTIONS, Recipe
from api.files.media.frames import decode_frames
from api.files.media.opening import open_plain
from api.files.media.probe import IMAGE_FORMATS

_QUALITY = 82  #: JPEG quality of a thumbnail: 10 KB at 256 pixels
_PNG_LEVEL = 1  #: fast, at the cost of size
_WHITE = (255, 255, 255)


class Undrawable(Exception):
    """No picture can be made of the file."""


def thumbnail(path: Path, side: int, sha256: str | None = None) -> bytes:
    """Return a JPEG of at most `side` × `side` pixels; of a video, its first frame. Raises Undrawable, NotPlain."""
    with open_plain(path, sha256) as file:
        image = _opened(file) or _first_frame(path, sha256)
        try:
            # Twice the size is enough for a good thumbnail, and saves most of the decoding of a JPEG.
            image.draft("RGB", (side * 2, side * 2))
            image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
            return _encode(_flatten(image), "JPEG", quality=_QUALITY)
        except MemoryError:
            raise
        except Exception as error:
            raise Undrawable from error


def _opened(file: BinaryIO) -> Image.Image | None:
    try:
        return Image.open(file, formats=IMAGE_FORMATS)
    except MemoryError:
        raise
    except Exception:
        return None


def _first_frame(path: Path, sha256: str | None) -> Image.Image:
    for frame in _video_frames(path, sha256):
        return frame
    raise Undrawable


def as_trained(path: Path, recipe: Recipe, positions: Sequence[int], sha256: str | None = None) -> bytes:
    """Return a PNG of these frames of the recipe, side by side from the left. Raises Undrawable."""
    wanted = [recipe.frames[position] for position in positions]
    pictures = _pick(_video_frames(path, sha256), wanted) if recipe.is_video else {0: _whole_image(path, sha256)}
    strip = Image.new("RGB", (recipe.width * len(wanted), recipe.height))
    for position, index in enumerate(wanted):
        if index not in pictures:
            raise Undrawable
        made = _make(pictures[index], recipe)
        strip.paste(made, (position * recipe.width, 0))
    return _encode(strip, "PNG", compress_level=_PNG_LEVEL)


def _make(picture: Image.Image, recipe: Recipe) -> Image.Image:
    return _flatten(picture).resize((recipe.width, recipe.height), Image.Resampling.BICUBIC, box=recipe.box)


def _flatten(image: Image.Image) -> Image.Image:
    """Return the image in RGB; transparent parts are blended with white."""
    if image.mode not in ("RGB", "RGBA") and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode != "RGBA":
        return image.convert("RGB")
    canvas = Image.new("RGBA", image.size, _WHITE)
    canvas.alpha_composite(image)
    return canvas.convert("RGB")


def _whole_image(path: Path, sha256: str | None) -> Image.Image:
    with open_plain(path, sha256) as file:
        try:
            image = Image.open(file, formats=IMAGE_FORMATS)
            image.load()
        except MemoryError:
            raise
        except Exception as error:
            raise Undrawable from error
    return image


def _pick(frames: Iterable[Image.Image], wanted: Sequence[int]) -> dict[int, Image.Image]:
    needed = set(wanted)
    chosen = islice(frames, max(needed) + 1) if needed else ()
    return {index: frame for index, frame in enumerate(chosen) if index in needed}


def _video_frames(path: Path, sha256: str | None) -> Iterator[Image.Image]:
    # PyAV is heavy, and only videos need it.
    import av  # noqa: PLC0415

    with open_plain(path, sha256) as file:
        try:
            container = av.open(file, mode="r", options=dict(VIDEO_OPTIONS), metadata_errors="replace")
        except MemoryError:
            raise
        except Exception as error:
            raise Undrawable from error
        with container:
            if not container.streams.video:
                raise Undrawable
            yield from decode_frames(container)


def _encode(image: Image.Image, form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()
