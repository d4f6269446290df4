"""Decode the frames of a video exactly as the trainer's reader (ComfyUI's `VideoFromFile`) does.

The reader converts most pixel formats to floating point first, differently from PyAV's conversion to integers, and
truncates the values. This module does the same, to get identical pixels.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

#: Pixel formats that have three integer colour channels already, or are converted to them.
_WHOLE = frozenset({"yuvj420p", "yuvj422p", "yuvj444p", "rgb24", "rgba", "pal8"})

#: Widths that are not a multiple of it are padded before the conversion, so that it always takes the same code path.
_LANE = 32


def decode_frames(container: Any) -> Iterator[Image.Image]:
    """Yield the frames of the first video stream in display order. Damaged packets are skipped."""
    stream = container.streams.video[0]
    stream.thread_count = 1
    converter: _Converter | None = None
    for packet in container.demux(stream):
        for frame in _decode(packet):
            if frame.pts is not None and frame.pts < 0:
                continue
            converter = converter or _Converter(frame, stream.time_base)
            yield converter.convert(frame)


def _decode(packet: Any) -> Sequence[Any]:
    try:
        return list(packet.decode())
    except MemoryError:
        raise
    except Exception:
        return ()


class _Converter:
    """Converts frames to pictures; the first frame determines the formats."""

    def __init__(self, first: Any, time_base: Any) -> None:
        has_alpha = first.format.name == "pal8" or any(part.is_alpha for part in first.format.components)
        self._has_alpha = has_alpha
        self._time_base = time_base
        if first.format.name in _WHOLE:
            self._format = "rgba" if has_alpha else "rgb24"
        else:
            self._format = "gbrapf32le" if has_alpha else "gbrpf32le"
        self._padding: tuple[Any, Any, Any] | None = None

    def convert(self, frame: Any) -> Image.Image:
        """Return the picture of one frame, rotated as the video's metadata says."""
        is_fraction = self._format.startswith("gbr")
        if is_fraction and frame.width % _LANE:
            pixels = self._pad(frame).to_ndarray(format=self._format)[: frame.height, : frame.width]
        else:
            pixels = frame.to_ndarray(format=self._format)
        if frame.rotation:
            pixels = np.rot90(pixels, k=round(frame.rotation // 90), axes=(0, 1))
        if self._has_alpha:
            # Unlike for images, transparent pixels are not blended with white: their colours are used.
            pixels = pixels[..., :3]
        if is_fraction:
            pixels = (pixels * np.float32(255)).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(pixels))

    def _pad(self, frame: Any) -> Any:
        _, source, sink = self._padding or self._build(frame)
        source.push(frame)
        return sink.pull()

    def _build(self, frame: Any) -> tuple[Any, Any, Any]:
        # PyAV is heavy, and only videos need it.
        from av.filter import Graph  # noqa: PLC0415

        right, below = -frame.width % _LANE, -frame.height % _LANE
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format.name, time_base=self._time_base
        )
        pad = graph.add("pad", f"{frame.width + right}:{frame.height + below}:0:0")
        fill = graph.add("fillborders", f"left=0:right={right}:top=0:bottom={below}:mode=smear")
        sink = graph.add("buffersink")
        source.link_to(pad)
        pad.link_to(fill)
        fill.link_to(sink)
        graph.configure()
        # The source and the sink do not keep the graph alive.
        self._padding = graph, source, sink
        return self._padding
