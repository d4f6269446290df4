"""Contact sheets: the grid of samples as one picture, or as one HTML file that needs no other."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from api.errors import NoPicture, SheetTooLarge
from api.samples.grid import Column, SampleGrid
from api.training.records.sample_store import StoredSample

#: Limits: pictures, bytes of an HTML file, pixels of a picture.
MOST_PICTURES, MOST_BYTES, MOST_PIXELS = 1000, 32 * 2**20, 24_000_000

#: Side of a picture in the HTML file, and sides in the PNG: the largest that keeps the limit is used.
SIDE = 256
_SIDES = (256, 192, 128)

#: Sizes in the PNG, in pixels.
_GAP, _ROW_HEAD, _LINE = 8, 150, 16

#: Of zlib: the default takes four times as long for pictures that are a twentieth smaller.
_COMPRESSION = 2

#: Lines and characters of a prompt in a heading of the PNG, and the least width of a letter in pixels.
_MOST_LINES, _MOST_TEXT, _LEAST_LETTER = 4, 400, 3

#: Fonts with more letters than the one of the library, if one of them is installed.
_FONTS = ("NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "wqy-microhei.ttc", "DejaVuSans.ttf")

#: Returns the JPEG of a sample. Raises NoPicture.
Draw = Callable[[StoredSample], bytes]

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1rem; color: #171b23; background: #fff; }
table { border-collapse: separate; border-spacing: 8px; }
th { font-weight: normal; text-align: left; vertical-align: bottom; max-width: 256px; overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: #fff; }
tbody th { position: sticky; left: 0; background: #fff; vertical-align: middle; white-space: nowrap; }
img { display: block; max-width: 256px; max-height: 256px; }
small { color: #5c6574; }
"""


@dataclass(frozen=True, slots=True)
class Headings:
    """The texts of a sheet besides those of the samples."""

    title: str
    base: str  #: name of the base model
    chosen: str | None  #: the chosen saved model


def make_html(grid: SampleGrid, heads: Headings, draw: Draw) -> bytes:
    """Return an HTML file with the pictures in it. Raise NoPicture, SheetTooLarge, DecoderBusy."""
    _require_size(grid)
    # Nothing may be loaded or run, whatever the texts are.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    title = escape(heads.title)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head>',
        f"<body><h1>{title}</h1><table><thead><tr><td></td>",
    ]
    for column in grid.columns:
        sample = _first(grid, column)
        facts = escape(_facts(sample, column))
        parts.append(f'<th scope="col">{escape(sample.text)}<br><small>{facts}</small></th>')
    parts.append("</tr></thead><tbody>")
    size = sum(map(len, parts))
    for row in grid.rows:
        parts.append(f'<tr><th scope="row">{escape(_name(row, heads))}</th>')
        for column in grid.columns:
            cell = _html_cell(grid.cells.get((row, column)), draw)
            size += len(cell)
            if size > MOST_BYTES:
                raise SheetTooLarge
            parts.append(cell)
        parts.append("</tr>")
    parts.append("</tbody></table></body></html>")
    return "".join(parts).encode("utf-8", "replace")


def _html_cell(sample: StoredSample | None, draw: Draw) -> str:
    if sample is None:
        return "<td></td>"
    try:
        picture = base64.b64encode(draw(sample)).decode()
    except NoPicture:
        return f"<td><small>{escape(sample.record.problem or '–')}</small></td>"
    mark = "" if sample.rating is None else f"<br><small>{_rating(sample.rating)}</small>"
    return f'<td><img alt="" src="data:image/jpeg;base64,{picture}">{mark}</td>'


def make_png(grid: SampleGrid, heads: Headings, draw: Draw) -> bytes:
    """Return a PNG with all pictures. Raise NoPicture, SheetTooLarge, DecoderBusy."""
    _require_size(grid)
    font = _font()
    for side in _SIDES:
        texts = [
            [*_wrap(_first(grid, column).text, font, side), _facts(_first(grid, column), column)]
            for column in grid.columns
        ]
        top = _LINE * (3 + max(map(len, texts)))
        width = _ROW_HEAD + len(grid.columns) * (side + _GAP) + _GAP
        height = top + len(grid.rows) * (side + _GAP) + _GAP
        if width * height <= MOST_PIXELS:
            break
    else:
        raise SheetTooLarge
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), _cut(_plain(heads.title), font, width - 2 * _GAP), "#171b23", font)
    for x, lines in enumerate(texts):
        for number, line in enumerate(lines):
            below = top - _LINE * (len(lines) - number) - _GAP // 2
            pen.text((_ROW_HEAD + x * (side + _GAP), below), _cut(line, font, side), "#171b23", font)
    for y, row in enumerate(grid.rows):
        upper = top + y * (side + _GAP)
        pen.text((_GAP, upper + side // 2), _cut(_name(row, heads), font, _ROW_HEAD - 2 * _GAP), "#171b23", font)
        for x, column in enumerate(grid.columns):
            place = (_ROW_HEAD + x * (side + _GAP), upper)
            picture = _picture(grid.cells.get((row, column)), draw, side)
            if picture is not None:
                sheet.paste(picture, (place[0], place[1] + (side - picture.height) // 2))
            elif (row, column) in grid.cells:
                pen.text((place[0], upper + side // 2), "no picture", "#5c6574", font)
    content = io.BytesIO()
    sheet.save(content, "PNG", compress_level=_COMPRESSION)
    return content.getvalue()


def _picture(sample: StoredSample | None, draw: Draw, side: int) -> Image.Image | None:
    if sample is None:
        return None
    try:
        with Image.open(io.BytesIO(draw(sample)), formats=("JPEG",)) as picture:
            if max(picture.size) > 2 * SIDE:
                return None
            picture.thumbnail((side, side))
            return picture.convert("RGB")
    except (NoPicture, UnidentifiedImageError, OSError):
        return None


def _require_size(grid: SampleGrid) -> None:
    """Raise NoPicture for an empty grid, and SheetTooLarge."""
    if not grid.cells:
        raise NoPicture("There are no samples for a sheet: render some first.")
    count = len(grid.cells)
    if count > MOST_PICTURES:
        raise SheetTooLarge(
            f"The sheet would have {count:,} pictures, and {MOST_PICTURES:,} are possible. Name fewer saved models in"
            " `checkpoints`."
        )


def _first(grid: SampleGrid, column: Column) -> StoredSample:
    return next(grid.cells[row, column] for row in grid.rows if (row, column) in grid.cells)


def _name(row: str, heads: Headings) -> str:
    chosen = " (chosen)" if row and row == heads.chosen else ""
    return f"{row or heads.base}{chosen}"


def _facts(sample: StoredSample, column: Column) -> str:
    return f"seed {sample.record.seed}, strength {column[1]:g}"


def _rating(rating: int) -> str:
    return "rejected" if rating == 0 else f"{rating}/5"


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, 12)
        except OSError:
            continue
    return ImageFont.load_default(12)


def _plain(text: str) -> str:
    """Return the text in one line, without characters that cannot be drawn."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text[:_MOST_TEXT].split()))


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return as much of the beginning as fits, with … if something is missing."""
    text, whole = _plain(text)[: width // _LEAST_LETTER], _plain(text)
    if text == whole and font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> Sequence[str]:
    """Return the text in lines of this width, at most four, broken between words where possible."""
    rest, lines = _plain(text), list[str]()
    while rest and len(lines) < _MOST_LINES:
        count = min(len(rest), width // _LEAST_LETTER)
        while count > 1 and font.getlength(rest[:count]) > width:
            space = rest.rfind(" ", 1, count)
            count = space if space > 0 and font.getlength(rest[:space]) > width // 2 else count - 1
        lines.append(rest[:count].strip())
        rest = rest[count:].strip()
    if rest:
        lines[-1] = f"{lines[-1]}…"
    return lines
