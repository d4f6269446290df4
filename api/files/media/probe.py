"""Find out what a media file is by its content: images are decoded completely, videos frame by frame.

Decoders raise almost any exception on a hostile file, so almost any is caught here. Only MemoryError is passed on: the
process must not be used for another file.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.media import MAX_PIXELS, VIDEO_OPTIONS, MediaProbe, MediaProblem
from api.files.media.opening import ContentChanged, NotPlain, open_plain
from api.files.media.perceptual import hash_of

#: Accepted image formats. Pillow knows more, and runs external programs for some.
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")


#: Most packets of a video: 20 hours at 60 frames per second.
MAX_PACKETS = 4_500_000

#: Processor time in seconds for decoding one video. Later frames are counted by their packets.
_DECODE_SECONDS = 15.0

_DRAFT = (128, 128)  #: size at which JPEGs are decoded: enough for the hash, in a third of the time
_ORIENTATION = 0x0112  #: the EXIF tag for the rotation of an image

#: A video is incomplete if its last frame is earlier than its stated length by this: seconds, and part of the length.
_MISSING_END = (0.5, 0.05)

#: Tolerance for the time between two frames, as part of the usual time; in addition to one tick of the clock.
_UNEVEN = 0.05


def probe(path: Path, sha256: str | None = None) -> MediaProbe:
    """Examine a media file, if it has this hash. Raises only MemoryError, if a file needs too much memory."""
    try:
        file = open_plain(path, sha256)
    except ContentChanged as changed:
        return _failed(MediaKind.OTHER, None, MediaProblem.CHANGED, str(changed))
    except NotPlain as error:
        return _failed(MediaKind.OTHER, None, MediaProblem.UNREADABLE, str(error))
    with file:
        return _probe_image(file) or _probe_video(file)


def _probe_image(file: BinaryIO) -> MediaProbe | None:
    """Return the facts about an image; None if the file is not an image."""
    try:
        image = Image.open(file, formats=IMAGE_FORMATS)
    except UnidentifiedImageError:
        return None
    except Image.DecompressionBombError:
        return _failed(MediaKind.IMAGE, None, MediaProblem.BOMB, f"It has more than {MAX_PIXELS:,} pixels.")
    except MemoryError:
        raise
    except Exception as error:
        return _failed(MediaKind.IMAGE, None, MediaProblem.UNREADABLE, f"Its header cannot be read: {_shown(error)}")
    with image:
        return _decode_image(image)


def _decode_image(image: Image.Image) -> MediaProbe:
    facts = MediaFacts(
        MediaKind.IMAGE,
        (image.format or "").lower() or None,
        image.width,
        image.height,
        frame_count=_count_frames(image),
    )
    try:
        image.draft("L", _DRAFT)
        image.load()
        is_turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
        digest = hash_of(image)
    except MemoryError:
        raise
    except Exception as error:
        is_short = "truncated" in str(error) or isinstance(error, EOFError)
        problem = MediaProblem.TRUNCATED if is_short else MediaProblem.UNREADABLE
        return _with(facts, problem, f"Its pixels cannot be read: {_shown(error)}")
    if is_turned:
        return _with(
            facts,
            MediaProblem.TURNED,
            "Its metadata (EXIF) rotates it for display; the trainer uses the pixels as stored.",
            digest,
        )
    return MediaProbe(facts, 1, perceptual_hash=digest)


def _count_frames(image: Image.Image) -> int:
    # The trainer rejects WebP with several frames; of other formats it uses the first, and counting would decode all.
    return int(getattr(image, "n_frames", 1)) if image.format == "WEBP" else 1


@dataclass(slots=True)
class _Pass:
    """The result of one pass over the packets of a video."""

    times: list[int]  #: presentation times of the visible packets
    packets: int = 0
    hidden: int = 0  #: packets outside of the file's edit list: decoded but not visible
    decoded: int = 0  #: number of frames
    damaged: int = 0  #: number of packets that cannot be decoded
    is_decoded: bool = True  #: decoded to the end
    is_corrupt: bool = False
    is_endless: bool = False
    picture: Any = None  #: the first frame, small and in grey
    rotation: int = 0

    @property
    def frames(self) -> int | None:
        """The number of frames that the trainer's reader gets, or None for 0."""
        return (self.decoded if self.is_decoded else self.packets - self.hidden) or None


def _probe_video(file: BinaryIO) -> MediaProbe:
    # PyAV is heavy, and only videos need it.
    import av  # noqa: PLC0415

    file.seek(0)
    try:
        container = av.open(file, mode="r", options=dict(VIDEO_OPTIONS), metadata_errors="replace")
    except MemoryError:
        raise
    except Exception:
        return _failed(
            MediaKind.OTHER, None, MediaProblem.UNREADABLE, "It is not an image or video that can be opened."
        )
    with container:
        try:
            return _read_video(container, av.time_base)
        except MemoryError:
            raise
        except Exception as error:
            return _failed(
                MediaKind.VIDEO,
                _container_format(container),
                MediaProblem.UNREADABLE,
                f"It cannot be read: {_shown(error)}",
            )


def _read_video(container: Any, time_base: int) -> MediaProbe:
    form = _container_format(container)
    if not container.streams.video:
        return _failed(MediaKind.OTHER, form, MediaProblem.UNREADABLE, "It has only sound and no pictures.")
    stream = container.streams.video[0]
    if stream.width * stream.height > MAX_PIXELS:
        return _failed(MediaKind.VIDEO, form, MediaProblem.BOMB, f"Its frames have more than {MAX_PIXELS:,} pixels.")
    stream.thread_count = 1
    seconds = None if container.duration is None else container.duration / time_base
    rate = None if not stream.average_rate else float(stream.average_rate)
    found = _walk(container, stream)
    length = _length(found.times, float(stream.time_base or 0), seconds)
    facts = MediaFacts(
        MediaKind.VIDEO,
        form,
        stream.width or None,
        stream.height or None,
        duration=length,
        fps=rate,
        frame_count=found.frames,
        is_variable_rate=_is_uneven(found.times),
    )
    stated = _stated_frames(stream, rate)
    digest = None if found.picture is None else hash_of(found.picture)
    if found.is_endless:
        return _with(facts, MediaProblem.BOMB, f"It has more than {MAX_PACKETS:,} frames.")
    problem = _video_problem(found, stream, _stated_seconds(container, stream, seconds))
    if problem is not None:
        facts = replace(facts, problem=problem[0], problem_text=problem[1])
    return MediaProbe(facts, stated, found.rotation % 360, digest)


def _video_problem(found: _Pass, stream: Any, seconds: float | None) -> tuple[MediaProblem, str] | None:
    if found.packets == 0 or found.picture is None or not stream.width or not stream.height:
        return MediaProblem.UNREADABLE, "None of its frames can be decoded."
    expected = _expected_packets(stream)
    if expected > found.packets:
        return MediaProblem.TRUNCATED, f"It states {expected} frames, but has {found.packets}."
    last = _end_second(found.times, float(stream.time_base or 0), stream.average_rate)
    if seconds is not None and last is not None and seconds - last > max(_MISSING_END[0], _MISSING_END[1] * seconds):
        return MediaProblem.TRUNCATED, f"It states {seconds:.1f} s, but its frames end after {last:.1f} s."
    if found.is_corrupt or found.damaged:
        return MediaProblem.TRUNCATED, "Some of its frames are damaged."
    if found.rotation % 360:
        return MediaProblem.TURNED, (
            "Its metadata rotates it for display; the trainer chooses its bucket by the sides as stored."
        )
    return None


def _walk(container: Any, stream: Any) -> _Pass:
    found, until = _Pass(times=[]), time.process_time() + _DECODE_SECONDS
    for packet in container.demux(stream):
        # The last packet is empty: it makes the decoder output the frames that it still holds.
        if packet.size:
            _count(packet, found)
        found.is_decoded = found.is_decoded and time.process_time() < until
        if found.is_decoded or found.picture is None:
            _decode(packet, found)
        if found.packets >= MAX_PACKETS:
            found.is_endless = True
            break
    found.times.sort()
    return found


def _count(packet: Any, found: _Pass) -> None:
    found.packets += 1
    found.is_corrupt = found.is_corrupt or packet.is_corrupt
    if packet.is_discard:
        found.hidden += 1
    elif packet.pts is not None:
        found.times.append(packet.pts)


def _decode(packet: Any, found: _Pass) -> None:
    # Like the trainer's reader, skip damaged packets and drop frames before time 0.
    try:
        frames = packet.decode()
    except MemoryError:
        raise
    except Exception:
        found.damaged += 1
        return
    for frame in frames:
        if frame.pts is not None and frame.pts < 0:
            continue
        found.decoded += 1
        if found.picture is None:
            found.picture = frame.reformat(width=_DRAFT[0], height=_DRAFT[1], format="gray").to_image()
            found.rotation = int(frame.rotation)


def _expected_packets(stream: Any) -> int:
    # The reader skips most packets outside of the edit list; the stream's duration is that of the edit list.
    if stream.duration is None or not stream.average_rate:
        return int(stream.frames)
    return min(int(stream.frames), round(float(stream.duration * stream.time_base * stream.average_rate)))


def _stated_frames(stream: Any, rate: float | None) -> int | None:
    # The order of the trainer's reader: the stated count, then the stream's length times its rate.
    if stream.frames > 0:
        return int(stream.frames)
    if stream.duration is None or stream.time_base is None or rate is None:
        return None
    return round(float(stream.duration * stream.time_base) * rate) or None


def _length(times: Sequence[int], tick: float, seconds: float | None) -> float | None:
    if seconds is not None:
        return seconds
    last = (times[-1] - times[0]) * tick if times and tick else None
    return None if last is None or len(times) < 2 else last * len(times) / (len(times) - 1)


def _stated_seconds(container: Any, stream: Any, seconds: float | None) -> float | None:
    """Return the stated length of the pictures in seconds; the length of the whole file may be that of its sound."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return seconds if len(container.streams) == 1 else None


def _end_second(times: Sequence[int], tick: float, rate: Any) -> float | None:
    """Return the end of the last frame in seconds from time 0, where Matroska's length starts, too."""
    if not times or not tick:
        return None
    return (times[-1] - min(times[0], 0)) * tick + (1 / float(rate) if rate else 0.0)


def _is_uneven(times: Sequence[int]) -> bool | None:
    """Return whether the frame times are uneven; None if they are unknown."""
    if len(times) < 4:
        return None if len(times) < 2 else False
    # The last frame may have any duration, and the first may wait for the sound.
    steps = [later - earlier for earlier, later in pairwise(times[1:-1])]
    usual = sorted(steps)[len(steps) // 2]
    allowed = max(1.0, _UNEVEN * usual)
    return sum(1 for step in steps if abs(step - usual) > allowed) > 1


def _container_format(container: Any) -> str | None:
    names = str(container.format.name).split(",")
    return "mp4" if "mp4" in names else names[0] or None


def _failed(kind: MediaKind, form: str | None, problem: MediaProblem, text: str) -> MediaProbe:
    return MediaProbe(MediaFacts(kind, form, problem=problem, problem_text=text))


def _with(facts: MediaFacts, problem: MediaProblem, text: str, digest: str | None = None) -> MediaProbe:
    changed = replace(facts, problem=problem, problem_text=text)
    return MediaProbe(changed, facts.frame_count, perceptual_hash=digest)


def _shown(error: Exception) -> str:
    """Return a decoder's message, shortened and printable: it may quote bytes of the file."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(error))[:200].strip()
    return text if text.endswith(".") else f"{text or type(error).__name__}."
