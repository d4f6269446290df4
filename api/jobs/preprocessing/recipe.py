"""Plan the changes to one file, by its size and the settings. Pure functions without decoding."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.domain.datasets.media_settings import CutBy, MediaSettings, Rectangle

#: The relative difference below which two frame rates are equal: 29.97 is not 30, but 16.0001 is 16.
SAME_RATE = 0.001

#: The limit of pieces of one video.
MAX_PIECES = 2_000

Size = tuple[int, int]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The changes to each picture: first the crop, then the scaling. None means no change."""

    crop: Rectangle | None = None
    size: Size | None = None

    @property
    def changes(self) -> bool:
        """Whether there is any change."""
        return self.crop is not None or self.size is not None


class NothingLeft(ValueError):
    """The settings leave nothing of the file. The message is the reason."""


def plan_geometry(width: int, height: int, settings: MediaSettings, *, is_video: bool) -> Geometry:
    """Return the crop and size for a picture of this size. Raises NothingLeft."""
    crop = _given_crop(width, height, settings.crop)
    part = crop or Rectangle(0, 0, width, height)
    if settings.width and settings.height:
        part = _to_shape(part, settings.width, settings.height)
        size: Size = (settings.width, settings.height)
    else:
        size = _down_to(part.width, part.height, settings.short_side)
    if is_video and (size[0] % 2 or size[1] % 2) and (size, part) != ((width, height), Rectangle(0, 0, width, height)):
        # H.264 halves the resolution of colours, so sizes must be even.
        size = (max(2, size[0] - size[0] % 2), max(2, size[1] - size[1] % 2))
    crop = None if part == Rectangle(0, 0, width, height) else part
    return Geometry(crop, None if size == (part.width, part.height) else size)


def _given_crop(width: int, height: int, given: Rectangle | None) -> Rectangle | None:
    if given is None:
        return None
    x, y = min(given.x, width), min(given.y, height)
    part = Rectangle(x, y, min(given.width, width - x), min(given.height, height - y))
    if part.width < 1 or part.height < 1:
        raise NothingLeft(f"the crop at {given.x}, {given.y} lies outside of its {width} × {height} pixels")
    return part


def _to_shape(part: Rectangle, width: int, height: int) -> Rectangle:
    """Return the largest centred part with the aspect ratio of `width` × `height`."""
    if part.width * height > part.height * width:
        narrow = max(1, round(part.height * width / height))
        return Rectangle(part.x + (part.width - narrow) // 2, part.y, narrow, part.height)
    low = max(1, round(part.width * height / width))
    return Rectangle(part.x, part.y + (part.height - low) // 2, part.width, low)


def _down_to(width: int, height: int, short_side: int | None) -> Size:
    if short_side is None or min(width, height) <= short_side:
        return (width, height)
    scale = short_side / min(width, height)
    return (max(1, round(width * scale)), max(1, round(height * scale)))


def scaled(geometry: Geometry, made_for: Size, size: Size) -> Geometry:
    """Return the geometry for a mask or control image whose size differs from that of its file."""
    if geometry.crop is None or made_for == size:
        return geometry
    across, down = size[0] / made_for[0], size[1] / made_for[1]
    crop = geometry.crop
    x, y = min(size[0] - 1, round(crop.x * across)), min(size[1] - 1, round(crop.y * down))
    width, height = max(1, round(crop.width * across)), max(1, round(crop.height * down))
    part = Rectangle(x, y, min(width, size[0] - x), min(height, size[1] - y))
    return Geometry(part, geometry.size or (crop.width, crop.height))


def plan_spans(duration: float, settings: MediaSettings, scenes: Sequence[Span] = ()) -> tuple[list[Span], int]:
    """Return the pieces of a video in seconds, in order, and the number of pieces that were too short.

    Without a cut, the only piece is the whole video. `scenes` are the detected scenes for cuts by scene. Raises
    NothingLeft.
    """
    cut = settings.cut
    if cut is None:
        return [(0.0, duration)], 0
    whole = [(0.0, duration)] if cut.by is CutBy.SECONDS or not scenes else list(scenes)
    pieces = [piece for span in whole for piece in _split(span, cut.seconds)]
    # Containers round times, so a piece may be slightly too short.
    long_enough = [piece for piece in pieces if piece[1] - piece[0] >= cut.min_seconds - 1e-3]
    if not long_enough:
        raise NothingLeft(f"no piece of its {duration:.1f} s is {cut.min_seconds:g} s long")
    return long_enough, len(pieces) - len(long_enough)


def _split(span: Span, seconds: float | None) -> list[Span]:
    begin, end = span
    if seconds is None or end - begin <= seconds:
        return [span]
    count = int((end - begin) / seconds + 1e-9)
    if count >= MAX_PIECES:
        raise NothingLeft(f"it would be cut into more than {MAX_PIECES:,} pieces")
    pieces = [(begin + number * seconds, begin + (number + 1) * seconds) for number in range(count)]
    return [*pieces, (pieces[-1][1], end)] if end - pieces[-1][1] > 1e-3 else pieces


def changes_rate(fps: float | None, wanted: float | None) -> bool:
    """Return whether a video of this rate must be re-timed. An unknown rate must."""
    return wanted is not None and (fps is None or abs(fps - wanted) > SAME_RATE * wanted)
