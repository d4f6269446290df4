"""What is to be done to one file, by what it is and what is asked for. Pure functions: nothing is decoded here."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.domain.media_settings import CutBy, MediaSettings, Rectangle

#: Frames of a picture rate that differ by less are the same: 29.97 is not 30, and 16.0001 is 16.
SAME_RATE = 0.001

#: The most pieces that one video is cut into.
MAX_PIECES = 2_000

Size = tuple[int, int]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """What is done to each picture: first the crop, then the scaling; None leaves that out."""

    crop: Rectangle | None = None
    size: Size | None = None

    @property
    def changes(self) -> bool:
        """Whether it changes a picture."""
        return self.crop is not None or self.size is not None


class NothingLeft(ValueError):
    """What is asked for leaves nothing of the file: why, in words."""


def plan_geometry(width: int, height: int, settings: MediaSettings, *, is_video: bool) -> Geometry:
    """Crop and size for a picture of this size. Raises NothingLeft."""
    crop = _given_crop(width, height, settings.crop)
    kept = crop or Rectangle(0, 0, width, height)
    if settings.width and settings.height:
        kept = _to_shape(kept, settings.width, settings.height)
        size: Size = (settings.width, settings.height)
    else:
        size = _down_to(kept.width, kept.height, settings.short_side)
    if is_video and (size[0] % 2 or size[1] % 2) and (size, kept) != ((width, height), Rectangle(0, 0, width, height)):
        # H.264 halves the resolution of its colours.
        size = (max(2, size[0] - size[0] % 2), max(2, size[1] - size[1] % 2))
    crop = None if kept == Rectangle(0, 0, width, height) else kept
    return Geometry(crop, None if size == (kept.width, kept.height) else size)


def _given_crop(width: int, height: int, given: Rectangle | None) -> Rectangle | None:
    if given is None:
        return None
    x, y = min(given.x, width), min(given.y, height)
    kept = Rectangle(x, y, min(given.width, width - x), min(given.height, height - y))
    if kept.width < 1 or kept.height < 1:
        raise NothingLeft(f"the crop at {given.x}, {given.y} lies outside of its {width} × {height} pixels")
    return kept


def _to_shape(kept: Rectangle, width: int, height: int) -> Rectangle:
    """The largest part with the shape of `width` × `height`, in the middle."""
    if kept.width * height > kept.height * width:
        narrow = max(1, round(kept.height * width / height))
        return Rectangle(kept.x + (kept.width - narrow) // 2, kept.y, narrow, kept.height)
    low = max(1, round(kept.width * height / width))
    return Rectangle(kept.x, kept.y + (kept.height - low) // 2, kept.width, low)


def _down_to(width: int, height: int, short_side: int | None) -> Size:
    if short_side is None or min(width, height) <= short_side:
        return (width, height)
    scale = short_side / min(width, height)
    return (max(1, round(width * scale)), max(1, round(height * scale)))


def scaled(geometry: Geometry, made_for: Size, size: Size) -> Geometry:
    """The same geometry for a side file of another size than the file that it stands beside."""
    if geometry.crop is None or made_for == size:
        return geometry
    across, down = size[0] / made_for[0], size[1] / made_for[1]
    crop = geometry.crop
    x, y = min(size[0] - 1, round(crop.x * across)), min(size[1] - 1, round(crop.y * down))
    width, height = max(1, round(crop.width * across)), max(1, round(crop.height * down))
    kept = Rectangle(x, y, min(width, size[0] - x), min(height, size[1] - y))
    return Geometry(kept, geometry.size or (crop.width, crop.height))


def plan_spans(duration: float, settings: MediaSettings, scenes: Sequence[Span] = ()) -> tuple[list[Span], int]:
    """The pieces of a video in seconds, in order, and how many were too short; one piece is the whole.

    `scenes` are those that were found in it, where it is cut by them. Raises NothingLeft.
    """
    cut = settings.cut
    if cut is None:
        return [(0.0, duration)], 0
    whole = [(0.0, duration)] if cut.by is CutBy.SECONDS or not scenes else list(scenes)
    pieces = [piece for span in whole for piece in _split(span, cut.seconds)]
    # A frame more or less is nobody's wish: times are rounded by containers.
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
    """Whether a video of this rate is re-timed; one whose rate is not known is."""
    return wanted is not None and (fps is None or abs(fps - wanted) > SAME_RATE * wanted)
