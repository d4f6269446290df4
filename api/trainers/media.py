"""What images and videos are, from their headers and then from their data, remembered."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from PIL import Image

from api.domain.dataset import MediaKind
from api.domain.media import VIDEO_OPTIONS, MediaProbe, MediaProblem, MediaSource
from api.errors import ServiceError
from api.util.caller import has_caller_left
from api.util.regular_files import open_regular

T = TypeVar("T")

#: Suffixes that the trainer takes for videos: those of imageio, in lower and in upper case only.
_VIDEO_NAMES = """
264 265 3g2 3gp a64 A64 adp amr amv asf avc avi avr avs avs2 avs3 bmv cavs cdg cdxl cgi chk cif cpk dat dav dif dnxhd
dnxhr drc dv dvd f4v flm flv gsm gxf h261 h263 h264 h265 h26l hevc idf ifv imx ipu ism isma ismv ivf ivr j2k kux lvf
m1v m2t m2ts m2v m4a m4b m4v mj2 mjpeg mjpg mk3d mka mks mkv mods moflex mov mp4 mpc mpd mpeg mpg mpo mts mvi mxf mxg
nut obu ogg ogv psp qcif rcv rgb rm roq sdr2 ser sga svag svs ts ty ty+ v v210 vb vc1 vc2 viv vob webm wmv wtv xl xmv
y4m yop yuv yuv10
"""
VIDEO_SUFFIXES = frozenset(f".{cased}" for name in _VIDEO_NAMES.split() for cased in (name, name.upper()))

#: Suffixes of images that the trainer can open, in any case. It tries to open whatever is no video.
_OPENED_IMAGES = """
apng png jpg jpeg jpe jfif webp bmp dib gif tif tiff avif avifs jp2 jpc jpf jpx j2c ppm pgm pbm pnm pfm tga icb vda vst
ico
"""
OPENED_IMAGE_SUFFIXES = frozenset(f".{name}" for name in _OPENED_IMAGES.split())

#: Suffixes of images, to tell a picture from a stray file.
IMAGE_SUFFIXES = OPENED_IMAGE_SUFFIXES | {".jxl", ".heic", ".heif"}

#: Suffixes that the trainer takes for those of videos, and that hold sound or data alone.
_NO_PICTURES = frozenset({".adp", ".amr", ".dat", ".m4a", ".mka", ".mpc", ".v"})


def is_opened(name: str) -> bool:
    """Whether the trainer opens a file of this name as an image or video."""
    suffix = os.path.splitext(name)[1]
    return suffix.lower() in OPENED_IMAGE_SUFFIXES or (suffix in VIDEO_SUFFIXES and suffix.lower() not in _NO_PICTURES)


#: Suffixes of files that the trainer passes over.
PASSED_OVER = frozenset({".txt", ".npz", ".json", ".parquet", ".bak", ".db"})

_MOST_CHUNKS = 64

#: What keeps an image from being decoded.
_DAMAGE = frozenset({MediaProblem.UNREADABLE, MediaProblem.TRUNCATED, MediaProblem.BOMB})

#: What a whole image of a format has near its end, within so many bytes: other things may be appended to it.
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_END_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What a header tells. An animated image has more than one frame; None is a video whose length it does not tell."""

    width: int
    height: int
    frames: int | None = 1
    frames_per_second: float | None = None  #: of a video; None for an image
    is_estimate: bool = False  #: its header states no frames: these are the file's length times its rate
    is_damaged: bool = False  #: an image whose header can be read, and whose pixels cannot
    shown_frames: int | None = None  #: of a video that was decoded: how many frames the trainer's reader gets


class Unreadable(Exception):
    """The file is no image or video that can be read."""


class Examiner(Protocol):
    """Decodes files outside of this process."""

    children: int  #: how many files it decodes at a time

    def examine(self, source: MediaSource) -> MediaProbe:
        """Return what the data of a file says. Raises ServiceError when it cannot be told now."""
        ...


@dataclass(frozen=True, slots=True)
class DecodedFiles:
    """The looks of the files that were decoded, and how many were left for lack of time."""

    looks: Mapping[str, Look]  #: by path, or by name within one directory
    left: int = 0


class Looks:
    """Remembers looks by path, time of change and size; forgets the oldest beyond its capacity."""

    def __init__(self, capacity: int = 100_000, examiner: Examiner | None = None) -> None:
        """`examiner` None: files are judged by their headers alone."""
        self._capacity = capacity
        self._examiner = examiner
        self._lock = threading.Lock()
        self._seen: OrderedDict[_Key, Look | None] = OrderedDict()
        self._decoded: OrderedDict[_Key, Look] = OrderedDict()
        self._pool: ThreadPoolExecutor | None = None  #: one for all checks, so that few files are decoded at a time

    def look(self, path: Path) -> Look:
        """Looks at a file, or remembers it. Raises Unreadable."""
        key = _key(path)
        with self._lock:
            if key in self._seen:
                self._seen.move_to_end(key)
                return _told(self._seen[key])
        try:
            seen: Look | None = look_at(path)
        except Unreadable:
            seen = None
        with self._lock:
            _remember(self._seen, key, seen, self._capacity)
        return _told(seen)

    def decode(self, paths: Sequence[Path], budget: "Budget") -> DecodedFiles:
        """Decode files whose headers can be read, several at a time, for as long as the budget lasts."""
        examiner = self._examiner
        if examiner is None or not paths:
            return DecodedFiles({})
        begun = {
            self._threads(examiner).submit(
                lambda path: None if budget.is_spent else self._decode(path, examiner), path
            ): os.fspath(path)
            for path in paths
        }
        # A file may take long: what is found of it later is remembered for the next check.
        done, late = wait(begun, timeout=budget.seconds_left)
        for each in late:
            each.cancel()
        found = {begun[each]: look for each in done if (look := each.result()) is not None}
        return DecodedFiles(found, len(paths) - len(found))

    def _threads(self, examiner: Examiner) -> ThreadPoolExecutor:
        with self._lock:
            self._pool = self._pool or ThreadPoolExecutor(examiner.children, "validate-look")
            return self._pool

    def _decode(self, path: Path, examiner: Examiner) -> Look | None:
        """Return None when it cannot be told now."""
        try:
            key = _key(path)
            with self._lock:
                known = self._decoded.get(key)
            if known is not None:
                return known
            look = _with_data(self.look(path), examiner.examine(MediaSource(path)))
        except (Unreadable, ServiceError, OSError, ValueError):
            return None
        with self._lock:
            _remember(self._decoded, key, look, self._capacity)
        return look


_Key = tuple[str, int, int]


def _key(path: Path) -> _Key:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise Unreadable from error
    return os.fspath(path), found.st_mtime_ns, found.st_size


def _remember(seen: "OrderedDict[_Key, T]", key: _Key, look: T, capacity: int) -> None:
    seen[key] = look
    while len(seen) > capacity:
        seen.popitem(last=False)


def _with_data(look: Look, probe: MediaProbe) -> Look:
    if probe.facts.kind is MediaKind.VIDEO:
        shown = count_shown(probe)
        # The trainer decodes such a video to count its frames.
        return replace(look, shown_frames=shown, frames=shown or look.frames if look.is_estimate else look.frames)
    # The header could be read here. Of a WebP that ends too early the trainer's library cannot even read that.
    is_damaged = probe.facts.kind is MediaKind.IMAGE and probe.facts.problem in _DAMAGE
    return replace(look, is_damaged=look.is_damaged or is_damaged)


def count_shown(probe: MediaProbe) -> int | None:
    """Return how many frames the trainer's reader gets of a video; None when it is not known."""
    return 0 if probe.facts.problem == MediaProblem.UNREADABLE else probe.facts.frame_count


class TooLong(Exception):
    """A check has taken longer than any check may."""


#: Seconds that a check may take besides those in which it looks into files.
REASONING_SECONDS = 5.0


class Budget:
    """What a check may spend: seconds of looking into files, directory entries, and the time by which it must end."""

    def __init__(self, seconds: float, entries: int = 200_000, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = monotonic() + seconds
        self._deadline = self._until + REASONING_SECONDS
        self._has_caller_left = has_caller_left.get()
        self.entries = entries

    @property
    def is_spent(self) -> bool:
        """Whether the time is over, or the one who asked has left."""
        return self._monotonic() >= self._until or self._has_caller_left()

    @property
    def seconds_left(self) -> float:
        """How long files may be looked into still."""
        return max(0.0, self._until - self._monotonic())

    def require(self) -> None:
        """Raises TooLong when the check must end."""
        if self._monotonic() >= self._deadline or self._has_caller_left():
            raise TooLong


def is_video(name: str) -> bool:
    """Whether the trainer takes a file for a video."""
    return os.path.splitext(name)[1] in VIDEO_SUFFIXES


def look_at(path: Path) -> Look:
    """Looks at the header of a regular file; never waits for a pipe, never decodes. Raises Unreadable."""
    try:
        opened = open_regular(path)
    except (OSError, ValueError) as error:
        raise Unreadable from error
    with opened as file:
        # Both libraries raise nearly anything on a file that is made to.
        try:
            # Of Matroska alone the trainer never believes the header.
            found = (
                _video(file, is_counted=path.suffix.lower() == ".mkv")
                if is_video(path.name)
                else _image(file, path.suffix)
            )
        except Unreadable:
            raise
        except Exception as error:
            raise Unreadable from error
    if found.width <= 0 or found.height <= 0:
        raise Unreadable
    return found


def _told(seen: Look | None) -> Look:
    if seen is None:
        raise Unreadable
    return seen


def _image(file: BinaryIO, suffix: str) -> Look:
    if suffix.lower() == ".webp":
        return _webp(file)
    with Image.open(file) as image:
        size, end = image.size, _ENDS.get(image.format or "")
    if end is None:
        return Look(*size)
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END_BYTES))
    return Look(*size, is_damaged=end not in file.read(_END_BYTES))


def _webp(file: BinaryIO) -> Look:
    # Pillow reads a WebP whole to open it; its size stands in the first 30 bytes.
    start = file.read(30)
    if len(start) < 30 or start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        raise Unreadable
    kind = start[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(start[i : i + 3], "little") for i in (24, 27))
        is_animated = bool(start[20] & 0x02)
        return Look(width, height, _count_webp_frames(file) if is_animated else 1)
    if kind == b"VP8L" and start[20] == 0x2F:
        bits = int.from_bytes(start[21:25], "little")
        return Look(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and start[23:26] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(start[i : i + 2], "little") & 0x3FFF for i in (26, 28))
        return Look(width, height)
    raise Unreadable


def _count_webp_frames(file: BinaryIO) -> int:
    # Two are enough to know; the chunks before the first frame are few.
    frames, position = 0, 12
    for _ in range(_MOST_CHUNKS):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            break
        frames += header[:4] == b"ANMF"
        if frames > 1:
            break
        size = int.from_bytes(header[4:], "little")
        position += 8 + size + size % 2
    return max(frames, 1)


def _video(file: BinaryIO, *, is_counted: bool) -> Look:
    # PyAV is heavy, and only videos need it.
    import av  # noqa: PLC0415

    with av.open(file, mode="r", options=dict(VIDEO_OPTIONS), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        if not rate:
            raise Unreadable
        stated = _stated_frames(stream, rate) if not is_counted else None
        frames = stated or _estimate(container.duration, av.time_base, rate)
        return Look(stream.width, stream.height, frames, float(rate), is_estimate=stated is None)


def _stated_frames(stream: Any, rate: Fraction) -> int | None:
    # In the order in which the trainer's reader asks: the stated count, then the stream's length times its rate.
    if stream.frames > 0:
        return int(stream.frames)
    if stream.duration is None or stream.time_base is None:
        return None
    return round(float(stream.duration * stream.time_base * rate)) or None


def _estimate(duration: int | None, time_base: int, rate: Fraction) -> int | None:
    return None if duration is None else round(float(duration / time_base) * float(rate)) or None
