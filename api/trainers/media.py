"""Sizes and frame counts of images and videos, from their headers and then from their data, with a cache."""

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

from api.domain.datasets.dataset import MediaKind
from api.domain.datasets.media import VIDEO_OPTIONS, MediaProbe, MediaProblem, MediaSource
from api.errors import ServiceError
from api.util.files.outside_files import open_regular
from api.util.http.caller import has_caller_left

T = TypeVar("T")

#: Suffixes that the trainer treats as videos: those of imageio, all lower case or all upper case.
_VIDEO_NAMES = """
264 265 3g2 3gp a64 A64 adp amr amv asf avc avi avr avs avs2 avs3 bmv cavs cdg cdxl cgi chk cif cpk dat dav dif dnxhd
dnxhr drc dv dvd f4v flm flv gsm gxf h261 h263 h264 h265 h26l hevc idf ifv imx ipu ism isma ismv ivf ivr j2k kux lvf
m1v m2t m2ts m2v m4a m4b m4v mj2 mjpeg mjpg mk3d mka mks mkv mods moflex mov mp4 mpc mpd mpeg mpg mpo mts mvi mxf mxg
nut obu ogg ogv psp qcif rcv rgb rm roq sdr2 ser sga svag svs ts ty ty+ v v210 vb vc1 vc2 viv vob webm wmv wtv xl xmv
y4m yop yuv yuv10
"""
VIDEO_SUFFIXES = frozenset(f".{cased}" for name in _VIDEO_NAMES.split() for cased in (name, name.upper()))

#: Suffixes of images that the trainer can open, in any case. It tries to open every file that is not a video.
_OPENED_IMAGES = """
apng png jpg jpeg jpe jfif webp bmp dib gif tif tiff avif avifs jp2 jpc jpf jpx j2c ppm pgm pbm pnm pfm tga icb vda vst
ico
"""
OPENED_IMAGE_SUFFIXES = frozenset(f".{name}" for name in _OPENED_IMAGES.split())

#: Suffixes of image files, including formats that the trainer cannot open.
IMAGE_SUFFIXES = OPENED_IMAGE_SUFFIXES | {".jxl", ".heic", ".heif"}

#: Suffixes that the trainer treats as videos but that contain only sound or data.
_NO_PICTURES = frozenset({".adp", ".amr", ".dat", ".m4a", ".mka", ".mpc", ".v"})


def is_opened(name: str) -> bool:
    """Return whether the trainer opens a file of this name as an image or video."""
    suffix = os.path.splitext(name)[1]
    return suffix.lower() in OPENED_IMAGE_SUFFIXES or (suffix in VIDEO_SUFFIXES and suffix.lower() not in _NO_PICTURES)


#: Suffixes of files that the trainer ignores.
IGNORED_SUFFIXES = frozenset({".txt", ".npz", ".json", ".parquet", ".bak", ".db"})

_MAX_CHUNKS = 64

#: Problems that prevent the decoding of an image.
_DAMAGE = frozenset({MediaProblem.UNREADABLE, MediaProblem.TRUNCATED, MediaProblem.BOMB})

#: A complete image has this marker within this many bytes of its end, as other data may be appended.
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_END_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """The size and frames of a media file. None is a video of unknown length.

    An animated WebP or GIF has several frames, of which 2 are counted.
    """

    width: int
    height: int
    frames: int | None = 1
    frames_per_second: float | None = None  #: of a video; None for an image
    is_estimate: bool = False  #: the header states no frame count; `frames` is duration times rate
    is_damaged: bool = False  #: an image with a readable header but damaged pixels
    shown_frames: int | None = None  #: frames that the trainer's reader returns for a decoded video


class Unreadable(Exception):
    """The file is not a readable image or video."""


class Examiner(Protocol):
    """Decodes files outside of this process."""

    children: int  #: number of files decoded at a time

    def examine(self, source: MediaSource) -> MediaProbe:
        """Decode a file and return its properties. Raise ServiceError if this is not possible now."""


@dataclass(frozen=True, slots=True)
class DecodedFiles:
    """The infos of the files that were decoded, and how many were left for lack of time."""

    infos: Mapping[str, MediaInfo]  #: by path, or by name within one directory
    left: int = 0  #: number of files that were not decoded


class MediaInfoCache:
    """A cache of media properties by path, modification time and size; drops the oldest entries above its capacity."""

    def __init__(self, capacity: int = 100_000, examiner: Examiner | None = None) -> None:
        """Without an `examiner`, files are judged by their headers only."""
        self._capacity = capacity
        self._examiner = examiner
        self._lock = threading.Lock()
        self._seen: OrderedDict[_Key, MediaInfo | None] = OrderedDict()
        self._decoded: OrderedDict[_Key, MediaInfo] = OrderedDict()
        self._pool: ThreadPoolExecutor | None = None  #: shared by all checks, to limit the files decoded at a time

    def read_info(self, path: Path) -> MediaInfo:
        """Return a file's properties, cached if possible. Raise Unreadable."""
        key = _key(path)
        with self._lock:
            if key in self._seen:
                self._seen.move_to_end(key)
                return _require(self._seen[key])
        try:
            seen: MediaInfo | None = read_header(path)
        except Unreadable:
            seen = None
        with self._lock:
            _remember(self._seen, key, seen, self._capacity)
        return _require(seen)

    def decode(self, paths: Sequence[Path], budget: "Budget") -> DecodedFiles:
        """Decode files with readable headers, several at a time, until the budget is spent."""
        examiner = self._examiner
        if examiner is None or not paths:
            return DecodedFiles({})
        started = {
            self._threads(examiner).submit(
                lambda path: None if budget.is_spent else self._decode(path, examiner), path
            ): os.fspath(path)
            for path in paths
        }
        # A slow file finishes later, and its result is cached for the next check.
        done, late = wait(started, timeout=budget.seconds_left)
        for each in late:
            each.cancel()
        found = {started[each]: info for each in done if (info := each.result()) is not None}
        return DecodedFiles(found, len(paths) - len(found))

    def _threads(self, examiner: Examiner) -> ThreadPoolExecutor:
        with self._lock:
            self._pool = self._pool or ThreadPoolExecutor(examiner.children, "validate-info")
            return self._pool

    def _decode(self, path: Path, examiner: Examiner) -> MediaInfo | None:
        try:
            key = _key(path)
            with self._lock:
                known = self._decoded.get(key)
            if known is not None:
                return known
            info = _with_data(self.read_info(path), examiner.examine(MediaSource(path)))
        except (Unreadable, ServiceError, OSError, ValueError):
            return None
        with self._lock:
            _remember(self._decoded, key, info, self._capacity)
        return info


_Key = tuple[str, int, int]


def _key(path: Path) -> _Key:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise Unreadable from error
    return os.fspath(path), found.st_mtime_ns, found.st_size


def _remember(seen: "OrderedDict[_Key, T]", key: _Key, info: T, capacity: int) -> None:
    seen[key] = info
    while len(seen) > capacity:
        seen.popitem(last=False)


def _with_data(info: MediaInfo, probe: MediaProbe) -> MediaInfo:
    if probe.facts.kind is MediaKind.VIDEO:
        shown = count_shown(probe)
        # The trainer decodes such a video to count its frames.
        return replace(info, shown_frames=shown, frames=shown or info.frames if info.is_estimate else info.frames)
    # The header was readable here. The trainer's library cannot even read the header of a truncated WebP.
    is_damaged = probe.facts.kind is MediaKind.IMAGE and probe.facts.problem in _DAMAGE
    return replace(info, is_damaged=info.is_damaged or is_damaged)


def count_shown(probe: MediaProbe) -> int | None:
    """Return the frames that the trainer's reader gets from a video, or None if unknown."""
    return 0 if probe.facts.problem == MediaProblem.UNREADABLE else probe.facts.frame_count


class TooLong(Exception):
    """A check has exceeded its time limit."""


#: Seconds that a check may take in addition to its time for reading files.
REASONING_SECONDS = 5.0


class Budget:
    """The limits of a check: seconds for reading files, directory entries, and a deadline."""

    def __init__(self, seconds: float, entries: int = 200_000, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = monotonic() + seconds
        self._deadline = self._until + REASONING_SECONDS
        self._has_caller_left = has_caller_left.get()
        self.entries = entries

    @property
    def is_spent(self) -> bool:
        """Whether the time for reading files is over, or the caller has disconnected."""
        return self._monotonic() >= self._until or self._has_caller_left()

    @property
    def seconds_left(self) -> float:
        """The remaining time for reading files."""
        return max(0.0, self._until - self._monotonic())

    def require(self) -> None:
        """Raise TooLong if the check must end."""
        if self._monotonic() >= self._deadline or self._has_caller_left():
            raise TooLong


def is_video(name: str) -> bool:
    """Return whether the trainer treats a file as a video."""
    return os.path.splitext(name)[1] in VIDEO_SUFFIXES


def read_header(path: Path) -> MediaInfo:
    """Read the header of a regular file, without blocking on pipes or decoding. Raise Unreadable."""
    try:
        opened = open_regular(path)
    except (OSError, ValueError) as error:
        raise Unreadable from error
    with opened as file:
        # Both libraries raise arbitrary exceptions for malicious files.
        try:
            # Matroska is the only format whose header the trainer ignores.
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


def _require(seen: MediaInfo | None) -> MediaInfo:
    if seen is None:
        raise Unreadable
    return seen


def _image(file: BinaryIO, suffix: str) -> MediaInfo:
    if suffix.lower() == ".webp":
        return _webp(file)
    with Image.open(file) as image:
        size, end = image.size, _ENDS.get(image.format or "")
        is_animated = image.format == "GIF" and bool(getattr(image, "is_animated", False))
    if end is None:
        return MediaInfo(*size, frames=2 if is_animated else 1)
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END_BYTES))
    return MediaInfo(*size, is_damaged=end not in file.read(_END_BYTES))


def _webp(file: BinaryIO) -> MediaInfo:
    # Pillow reads all of a WebP to open it, but the size is in the first 30 bytes.
    start = file.read(30)
    if len(start) < 30 or start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        raise Unreadable
    kind = start[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(start[i : i + 3], "little") for i in (24, 27))
        is_animated = bool(start[20] & 0x02)
        return MediaInfo(width, height, _count_webp_frames(file) if is_animated else 1)
    if kind == b"VP8L" and start[20] == 0x2F:
        bits = int.from_bytes(start[21:25], "little")
        return MediaInfo(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and start[23:26] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(start[i : i + 2], "little") & 0x3FFF for i in (26, 28))
        return MediaInfo(width, height)
    raise Unreadable


def _count_webp_frames(file: BinaryIO) -> int:
    # The result is only 1 or more than 1. Few chunks come before the first frame.
    frames, position = 0, 12
    for _ in range(_MAX_CHUNKS):
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


def _video(file: BinaryIO, *, is_counted: bool) -> MediaInfo:
    # Import PyAV only for videos, because it is large.
    import av  # noqa: PLC0415

    with av.open(file, mode="r", options=dict(VIDEO_OPTIONS), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        if not rate:
            raise Unreadable
        stated = _stated_frames(stream, rate) if not is_counted else None
        frames = stated or _estimate(container.duration, av.time_base, rate)
        return MediaInfo(stream.width, stream.height, frames, float(rate), is_estimate=stated is None)


def _stated_frames(stream: Any, rate: Fraction) -> int | None:
    # Same order as the trainer's reader: stated frame count, then the stream's duration times its rate.
    if stream.frames > 0:
        return int(stream.frames)
    if stream.duration is None or stream.time_base is None:
        return None
    return round(float(stream.duration * stream.time_base * rate)) or None


def _estimate(duration: int | None, time_base: int, rate: Fraction) -> int | None:
    return None if duration is None else round(float(duration / time_base) * float(rate)) or None
