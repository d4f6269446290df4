"""Media files that are made to break decoders, generated from a seed."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tests.unit.files.media.samples import picture, png_bomb, png_chunk, write_clip

_IMAGES = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")
_CLIPS = (("a.mp4", "libx264"), ("a.mkv", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.avi", "mjpeg"), ("a.mov", "mpeg4"))
_MAGIC = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"RIFF\xff\xff\xff\xffWEBPVP8X",
    b"GIF89a",
    b"II*\0",
    b"BM",
    b"P6 ",
)
_MAGIC += (
    b"\0\0\0\x18ftypmp42",
    b"\x1aE\xdf\xa3",
    b"RIFF\xff\xff\xff\xffAVI LIST",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"OggS",
)
_HUGE = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


@cache
def whole_files() -> dict[str, bytes]:
    """Return one valid file of each kind."""
    files: dict[str, bytes] = {}
    for form in _IMAGES:
        target = io.BytesIO()
        picture((120, 90), 1).save(target, form)
        files[form] = target.getvalue()
    target = io.BytesIO()
    picture().save(target, "WEBP", save_all=True, append_images=[picture(seed=2)])
    files["moving"] = target.getvalue()
    with TemporaryDirectory() as folder:
        for name, codec in _CLIPS:
            files[name] = write_clip(Path(folder) / name, 20, codec=codec).read_bytes()
    return files


def hostile(seed: int) -> bytes:
    """Return a hostile file, always the same for a seed."""
    choice = random.Random(seed)
    return choice.choice(_WAYS)(choice)


def _noise(choice: random.Random) -> bytes:
    return choice.choice(_MAGIC) + choice.randbytes(choice.choice((0, 30, 4000, 200_000)))


def _cut(choice: random.Random) -> bytes:
    whole = choice.choice(list(whole_files().values()))
    return whole[: choice.randrange(len(whole))]


def _flipped(choice: random.Random) -> bytes:
    content = bytearray(choice.choice(list(whole_files().values())))
    for _ in range(choice.choice((1, 8, 100))):
        content[choice.randrange(len(content))] = choice.randrange(256)
    return bytes(content)


def _lying(choice: random.Random) -> bytes:
    """Return a file with wrong numbers in its header."""
    content = bytearray(choice.choice(list(whole_files().values())))
    for _ in range(choice.randint(1, 4)):
        place = choice.randrange(min(len(content) - 4, 2000))
        content[place : place + 4] = struct.pack(choice.choice("<>") + "I", choice.choice(_HUGE))
    return bytes(content)


def _lying_png(choice: random.Random) -> bytes:
    width, height = choice.choice(_HUGE[1:]), choice.choice(_HUGE[1:])
    header = struct.pack(">IIBBBBB", width, height, choice.choice((1, 8, 16)), choice.choice((0, 2, 3, 6)), 0, 0, 0)
    data = zlib.compress(bytes(choice.choice((10, 100_000))))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def _bomb(choice: random.Random) -> bytes:
    side = choice.choice((2000, 5000, 9000))
    return png_bomb(side, side)


def _text_bomb(choice: random.Random) -> bytes:
    packed = zlib.compress(bytes(choice.choice((10, 80)) * 1024**2), 9)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    text = choice.choice((b"zTXt", b"iCCP", b"iTXt"))
    body = b"k\0\0" + packed if text != b"iTXt" else b"k\0\1\0\0\0" + packed
    chunks = png_chunk(b"IHDR", header) + png_chunk(text, body) * choice.choice((1, 5))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IDAT", zlib.compress(bytes(200))) + png_chunk(b"IEND", b"")


def _strips(choice: random.Random) -> bytes:
    """Return a TIFF whose strips point anywhere."""
    side = choice.choice((100, 13_000, 60_000))
    entries = {256: side, 257: side, 258: 8, 259: choice.choice((1, 5, 7, 8, 32773)), 262: 1, 277: 1, 278: side}
    entries |= {273: choice.choice((8, 0xFFFFFFF0)), 279: choice.choice((10, 0x7FFFFFFF))}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + b"\0\0\0\0" + choice.randbytes(500)


def _endless(choice: random.Random) -> bytes:
    """Return a film without end."""
    if choice.random() < 0.5:
        frame = b"FRAME\n" + bytes(16 * 16 * 3 // 2)
        return b"YUV4MPEG2 W16 H16 F25:1 Ip A0:0 C420\n" + frame * choice.choice((1000, 50_000))
    target = io.BytesIO()
    picture((16, 16)).save(target, "JPEG")
    return target.getvalue() * choice.choice((1000, 30_000))


def _flood(choice: random.Random) -> bytes:
    """Return an animation with very many frames."""
    frames = [Image.new("P", (40, 40), index % 256) for index in range(choice.choice((50, 400)))]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:])
    return target.getvalue()


def _reference(choice: random.Random) -> bytes:
    """Return a file that refers to another file or program."""
    return choice.choice(
        (
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
            b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n",
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/escaped) (w) file closefile showpage\n",
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
            b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>',
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        )
    )


_WAYS: tuple[Callable[[random.Random], bytes], ...] = (
    *(_noise, _cut, _cut, _flipped, _flipped, _flipped, _lying, _lying, _lying_png),
    *(_bomb, _text_bomb, _strips, _endless, _flood, _reference),
)
