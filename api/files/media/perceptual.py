"""Perceptual hashes of pictures, and groups of similar ones."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations, islice
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Pictures with a smaller range between their darkest and lightest grey are too plain: they would all look alike.
PLAIN_RANGE = 12

_SIDE = 32  #: pixels of the side to which a picture is scaled
_LOW = 8  #: number of low frequencies in each direction
_BITS = _LOW * _LOW

#: Most pairs that are compared: about half a minute of work.
MAX_PAIRS = 20_000_000


def hash_of(image: Image.Image) -> str | None:
    """Return the perceptual hash of a decoded picture as 16 hexadecimal digits; None if it is too plain.

    Each bit says whether one of the lowest frequencies (DCT-II) is above their median, exactly as in ImageHash's
    `phash`.
    """
    # NumPy is heavy, and only a decoder's process needs it.
    import numpy as np  # noqa: PLC0415

    grey = _shrunk(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    low, high = grey.getextrema()
    if float(high) - float(low) < PLAIN_RANGE:  # type: ignore[arg-type]
        return None
    waves = _waves()
    # Rounded: in a picture that changes in one direction only, most frequencies are 0 apart from rounding errors.
    frequencies = np.round(waves @ np.asarray(grey, dtype=np.float64) @ waves.T, 6)
    return np.packbits(frequencies > np.median(frequencies)).tobytes().hex()


@cache
def _waves() -> "npt.NDArray[np.float64]":
    """Return the first rows of the DCT-II of a picture's side."""
    # NumPy is heavy, and only a decoder's process needs it.
    import numpy as np  # noqa: PLC0415

    return 2 * np.cos(np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE))


def _shrunk(image: Image.Image) -> Image.Image:
    """Shrink a large picture quickly by averaging, to a multiple of the side."""
    factor = min(image.size) // (_SIDE * 2)
    return image.reduce(factor) if factor > 1 and image.mode in ("L", "RGB", "RGBA", "CMYK") else image


def group_alike(hashes: Sequence[str], distance: int) -> tuple[list[list[int]], bool]:
    """Group the positions of hashes that differ in at most `distance` bits; also return whether all were compared.

    Groups have two or more members, each similar to at least one other. The comparison stops after MAX_PAIRS pairs and
    returns what it has found.
    """
    values = [int(text, 16) for text in hashes]
    parents = list(range(len(values)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    # Merge equal hashes first: a thousand copies would be half a million pairs.
    first: dict[int, int] = {}
    for index, value in enumerate(values):
        parents[index] = first.setdefault(value, index)
    candidates = _candidates(first, distance + 1)
    for left, right in islice(candidates, MAX_PAIRS):
        if (values[left] ^ values[right]).bit_count() <= distance:
            parents[root(right)] = root(left)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index in range(len(values)):
        groups[root(index)].append(index)
    return [group for group in groups.values() if len(group) > 1], next(candidates, None) is None


def _candidates(first: Mapping[int, int], bands: int) -> Iterator[tuple[int, int]]:
    """Yield pairs with an equal band of bits: hashes that differ in fewer bits than there are bands have one."""
    width = _BITS // bands
    for shift in range(0, width * bands, width):
        band: defaultdict[int, list[int]] = defaultdict(list)
        for value, index in first.items():
            band[value >> shift & (1 << width) - 1].append(index)
        for members in band.values():
            yield from combinations(members, 2)
