"""Media files for tests: valid ones, and some that break decoders."""

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image


def picture(size: tuple[int, int] = (96, 64), seed: int = 0) -> Image.Image:
    """Return a picture with soft shapes that depend on the seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def write_clip(
    path: Path,
    frames: int = 12,
    rate: int = 25,
    size: tuple[int, int] = (96, 64),
    codec: str = "mpeg4",
    times: list[int] | None = None,
    sound: int = 0,
) -> Path:
    """Write a video with different frames and this many seconds of silence.

    `times` are the frame times in milliseconds, for uneven ones.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        silence = container.add_stream("libopus" if path.suffix == ".webm" else "ac3", rate=48000) if sound else None
        for index in range(frames):
            frame = av.VideoFrame.from_image(picture(size, index))
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if silence is not None:
            _write_silence(container, silence, sound)
    return path


def _write_silence(container: Any, stream: Any, seconds: int) -> None:
    samples = av.AudioFrame.from_ndarray(np.zeros((1, 48000 * 2), np.int16), format="s16", layout="stereo")
    samples.rate = 48000
    for second in range(seconds):
        samples.pts = second * 48000
        container.mux(stream.encode(samples))
    container.mux(stream.encode(None))


def png_bomb(width: int = 13_000, height: int = 13_000) -> bytes:
    """Return a PNG of a few hundred KB with `width` × `height` pixels of 8 bytes each."""
    rows = zlib.compressobj(9)
    line = b"\0" + bytes(width * 8)
    data = b"".join(rows.compress(line) for _ in range(height)) + rows.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0))
        + (png_chunk(b"IDAT", data) + png_chunk(b"IEND", b""))
    )


def damaged_png(width: int = 512, height: int = 512) -> bytes:
    """Return a PNG with valid header and end, and damaged compressed data."""
    target = io.BytesIO()
    picture((width, height)).save(target, "PNG")
    data = bytearray(target.getvalue())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xFF for byte in data[middle : middle + 64])
    return bytes(data)


def cut_by_edit_list(path: Path, seconds: float) -> Path:
    """Return the same MP4 with an edit list for its first seconds only; its header still states all frames."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    data[at : at + 4] = struct.pack(">I", round(seconds * 1000))
    path.write_bytes(data)
    return path


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
