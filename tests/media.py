"""Small pictures and clips for tests, generated on demand."""

import io
from pathlib import Path

import av
import numpy as np
from PIL import Image


def picture(width: int = 40, height: int = 30, seed: int = 0, form: str = "PNG") -> bytes:
    """Return the bytes of an image of noise."""
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def clip(path: Path, frames: int = 30, fps: int = 30, size: tuple[int, int] = (64, 48), *scenes: int) -> Path:
    """Write a video whose frame n has brightness n, and whose colour changes at each of `scenes`."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), (number * 2) % 120, np.uint8)
            scene = sum(number >= first for first in scenes)
            pixels[:, :, scene % 3] += np.uint8(130 if scene else 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def frames_in(path: Path) -> list[tuple[int, int]]:
    """Return the size of each frame of a video."""
    with av.open(str(path)) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


def brightness(path: Path) -> list[int]:
    """Return the brightness of each frame of a video, which identifies the frames of `clip`."""
    with av.open(str(path)) as container:
        return [round(float(frame.to_ndarray(format="gray").mean())) for frame in container.decode(video=0)]
