"""Draws bars, curves and pictures with characters."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

from PIL import Image
from rich.console import Console
from rich.live import Live
from rich.style import Style
from rich.text import Text

BLOCKS = "▁▂▃▄▅▆▇█"


class Line(Protocol):
    """Replaces the text of a line."""

    def __call__(self, text: str) -> None: ...


@contextmanager
def changing_line(console: Console, every: int) -> Iterator[Line]:
    """Yield a line whose text changes. Without a terminal, print every `every`th text and the last one."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda text: live.update(Text(text, no_wrap=True, overflow="crop"), refresh=True)
        return
    texts: list[str] = []

    def write(text: str) -> None:
        if len(texts) % every == 0:
            console.print(Text(text), soft_wrap=True)
        texts.append(text)

    yield write
    if len(texts) % every != 1:
        console.print(Text(texts[-1]), soft_wrap=True)


def bar(share: float, width: int) -> str:
    """Return a bar that is filled to a share between 0 and 1."""
    filled = round(width * min(max(share, 0.0), 1.0))
    return f"{'█' * filled}{'░' * (width - filled)}"


def memory(figures: Mapping[str, Any], width: int = 10) -> str:
    """Return used and total memory, given in MB, as a bar with numbers in GB."""
    used, total = figures["used"], figures["total"]
    if used is None or not total:
        return "?"
    return f"{bar(used / total, width)} {used / 1024:5.1f}/{total / 1024:.0f} GB"


def known(value: Any, unit: str = "") -> str:
    """Return a value with its unit, or a question mark if it is unknown."""
    return "?" if value is None else f"{value}{unit}"


def sparkline(values: Sequence[float | None]) -> str:
    """Return a curve scaled from its minimum to its maximum; unknown values are dots."""
    known_values = [value for value in values if value is not None]
    low, span = min(known_values), (max(known_values) - min(known_values)) or 1.0
    marks = ["·" if value is None else BLOCKS[int((value - low) / span * (len(BLOCKS) - 1))] for value in values]
    return "".join(marks)


def means(values: Sequence[float], parts: int) -> list[float]:
    """Return the mean of each of `parts` sections of about equal length."""
    parts = min(parts, len(values))
    bounds = [len(values) * part // parts for part in range(parts + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(bounds)]


def picture(content: bytes, width: int, height: int) -> Text:
    """Return the upper part of a picture, `width` by `height` pixels of half a character each."""
    with Image.open(io.BytesIO(content)) as image:
        rows = round(image.height * width / image.width)
        small = image.convert("L").resize((width, rows), Image.Resampling.BOX)
    text = Text(no_wrap=True, overflow="crop")
    for upper in range(0, min(height, rows - 1), 2):
        for column in range(width):
            text.append("▀", Style(color=_grey(small, column, upper), bgcolor=_grey(small, column, upper + 1)))
        text.append("\n")
    text.rstrip()
    return text


def shades(content: bytes, width: int, height: int) -> str:
    """Return a picture without colours: one character for two pixels, denser where it is brighter."""
    with Image.open(io.BytesIO(content)) as image:
        rows = round(image.height * width / image.width)
        small = image.convert("L").resize((width, rows // 2), Image.Resampling.BOX)
    lines = [[_shade(small, column, row) for column in range(width)] for row in range(min(height, rows) // 2)]
    return "\n".join("".join(line).rstrip() for line in lines)


def _shade(image: Image.Image, column: int, row: int) -> str:
    return " ░▒▓█"[_brightness(image, column, row) * 5 // 256]


def _grey(image: Image.Image, column: int, row: int) -> str:
    return "#" + f"{_brightness(image, column, row):02x}" * 3


def _brightness(image: Image.Image, column: int, row: int) -> int:
    value = image.getpixel((column, row))
    return value if isinstance(value, int) else 0
