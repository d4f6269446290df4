"""Media files of many kinds, generated from a seed, for comparisons with the trainer's own reader."""

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

_IMAGE_KINDS = (
    ("png", ("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "P+")),
    ("jpg", ("RGB", "L", "CMYK", "EXIF")),
    ("webp", ("RGB", "RGBA")),
    ("bmp", ("RGB", "L", "P")),
    ("gif", ("P", "P+")),
    ("tiff", ("RGB", "RGBA", "L", "CMYK")),
)
_VIDEO_KINDS = (
    (".mp4", "libx264", ("yuv420p", "yuv444p", "yuvj420p", "yuv420p10le")),
    (".mkv", "libx264", ("yuv420p",)),
    (".mov", "mpeg4", ("yuv420p",)),
    (".webm", "libvpx-vp9", ("yuv420p", "yuva420p")),
    (".avi", "mjpeg", ("yuvj420p", "yuvj444p")),
    (".mkv", "ffv1", ("yuv420p", "bgr0", "yuva420p", "gray")),
    (".mp4", "libx265", ("yuv420p",)),
    (".mov", "png", ("rgb24", "rgba")),
)
_RATES = (
    Fraction(24),
    Fraction(25),
    Fraction(30),
    Fraction(30000, 1001),
    Fraction(24000, 1001),
    Fraction(60),
    Fraction(16),
)


def make_image(directory: Path, seed: int) -> Path:
    """Make an image whose format, mode and size follow from the seed."""
    choice = random.Random(seed)
    form, modes = choice.choice(_IMAGE_KINDS)
    mode = choice.choice(modes)
    size = (choice.randint(17, 900), choice.randint(17, 900))
    image = _colours(size, seed)
    path, options = directory / f"{seed}.{form}", {}
    if mode == "EXIF":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = choice.randint(2, 8)
    elif mode == "P+":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
        options["transparency"] = choice.randint(0, 200)
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode in ("RGBA", "LA"):
        image.putalpha(_colours(size, seed + 1).convert("L"))
        image = image.convert(mode)
    else:
        image = image.convert(mode)
    image.save(path, **options)
    return path


def make_video(directory: Path, seed: int) -> Path:
    """Make a video whose codec, pixel format, rate, size and length follow from the seed."""
    choice = random.Random(seed)
    suffix, codec, formats = choice.choice(_VIDEO_KINDS)
    # x265 aborts on pictures smaller than its blocks.
    least = 40 if codec == "libx265" else 8
    size = (choice.randint(least, 120) * 2, choice.randint(least, 120) * 2)
    path = directory / f"{seed}{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=choice.choice(_RATES))
        stream.width, stream.height = size
        stream.pix_fmt = choice.choice(formats)
        for index in range(choice.randint(2, 60)):
            frame = av.VideoFrame.from_image(_colours(size, seed * 1000 + index))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _colours(size: tuple[int, int], seed: int) -> Image.Image:
    numbers = np.random.default_rng(seed)
    coarse = numbers.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    return Image.fromarray((soft + numbers.integers(-12, 13, soft.shape)).clip(0, 255).astype(np.uint8))
