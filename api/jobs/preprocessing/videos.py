"""Decode pieces of videos, re-time, crop and scale them, and write them as H.264."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from PIL import Image

from api.domain.datasets.media import MAX_PIXELS
from api.jobs.preprocessing.recipe import Geometry, Span

#: Only demuxers that read one file. Others follow URLs or lists of files.
OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,gif,asf,ogg",
    "protocol_whitelist": "file",
}


#: The limit of frames of one piece: an hour at 60 frames per second.
MAX_FRAMES = 216_000

#: Visually lossless; the trainer's own encoder loses far more.
_ENCODER = {"crf": "14", "preset": "medium"}

#: The tolerance of frame times in seconds, because containers round them.
_SLACK = 1e-3

#: The filters for each rotation of the display, in degrees.
_TURNS = {90: [("transpose", "cclock")], 180: [("hflip", ""), ("vflip", "")], 270: [("transpose", "clock")]}

#: Receives the progress.
Tick = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """The facts of a video. `turn` is the rotation of its display in degrees."""

    width: int  #: as displayed
    height: int
    fps: float | None
    duration: float
    codec: str
    container: str
    turn: int
    has_audio: bool
    frame_count: int | None


class NoVideo(ValueError):
    """The file has no video that can be decoded. The message is the reason."""


def open_video(path: Path) -> Any:
    """Open the container. Raises NoVideo."""
    try:
        container = av.open(str(path), options=dict(OPTIONS), metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise NoVideo(f"it cannot be opened: {why}") from None
    if not container.streams.video:
        container.close()
        raise NoVideo("it has no pictures")
    return container


def read_facts(path: Path) -> VideoFacts:
    """Return the facts of a video. Raises NoVideo."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise NoVideo(f"its frames have more than {MAX_PIXELS:,} pixels")
        turn, codec = _turn_of(container), str(stream.codec_context.name)
        width, height = (stream.height, stream.width) if turn in (90, 270) else (stream.width, stream.height)
        fps = float(stream.average_rate) if stream.average_rate else None
        return VideoFacts(
            width,
            height,
            fps,
            _duration_of(container, stream, fps),
            codec,
            str(container.format.name),
            turn,
            bool(container.streams.audio),
            stream.frames or None,
        )


def _turn_of(container: Any) -> int:
    for frame in container.decode(video=0):
        return round(getattr(frame, "rotation", 0) / 90) * 90 % 360
    raise NoVideo("it has no pictures that can be decoded")


def _duration_of(container: Any, stream: Any, fps: float | None) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return float(container.duration / av.time_base)
    if stream.frames and fps:
        return float(stream.frames / fps)
    raise NoVideo("its duration is unknown")


def frames_of(path: Path, span: Span, tick: Tick) -> Iterator[tuple[float, Any]]:
    """Yield the frames of a piece with their seconds since its start. Raises NoVideo, av.FFmpegError."""
    begin, end = span
    with open_video(path) as container:
        stream = container.streams.video[0]
        base, first = stream.time_base, stream.start_time or 0
        if begin > 0:
            container.seek(int(begin / base) + first, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is None:
                continue
            at = float((frame.pts - first) * base)
            if at >= end - _SLACK:
                return
            tick(at)
            if at >= begin - _SLACK:
                yield at - begin, frame


def retimed(frames: Iterator[tuple[float, Any]], fps: float, seconds: float) -> Iterator[Any]:
    """Yield int(seconds × fps) frames, as the trainer does: for each time, the latest frame shown then."""
    total, number, latest = int(seconds * fps + 1e-6), 0, None
    for at, frame in frames:
        while latest is not None and number < total and number / fps < at - _SLACK:
            yield latest
            number += 1
        latest = frame
        if number >= total:
            return
    while latest is not None and number < total:
        yield latest
        number += 1


class Pictures:
    """Rotates, crops and scales each frame in the same way."""

    def __init__(self, geometry: Geometry, turn: int) -> None:
        self._geometry = geometry
        self._turn = turn
        self._graph: Any = None
        self._form: tuple[int, int, str] | None = None

    def make(self, frame: Any) -> Any:
        """Return the changed frame."""
        form = (frame.width, frame.height, frame.format.name)
        if self._form != form:
            # The size may change within a stream.
            self._graph, self._form = self._build(frame), form
        frame.pts = None
        self._graph.push(frame)
        return self._graph.pull()

    def _build(self, frame: Any) -> Any:
        graph = av.filter.Graph()
        links = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
        ]
        for name, arguments in _TURNS.get(self._turn, []):
            links.append(graph.add(name, arguments))
        crop, size = self._geometry.crop, self._geometry.size
        if crop is not None:
            links.append(graph.add("crop", f"{crop.width}:{crop.height}:{crop.x}:{crop.y}:exact=1"))
        if size is not None:
            links.append(graph.add("scale", f"{size[0]}:{size[1]}:flags=lanczos"))
        links += [graph.add("format", "yuv420p"), graph.add("buffersink")]
        for one, other in pairwise(links):
            one.link_to(other)
        graph.configure()
        return graph


@dataclass(frozen=True, slots=True)
class Written:
    """The facts of a written video."""

    width: int
    height: int
    frames: int
    fps: float
    first: Image.Image | None = None

    @property
    def duration(self) -> float:
        """The duration in seconds."""
        return self.frames / self.fps


def write_video(
    source: Path,
    facts: VideoFacts,
    span: Span,
    fps: float | None,
    geometry: Geometry,
    target: Path,
    tick: Tick,
    *,
    threads: int = 1,
    keep_audio: bool = False,
    wants_first: bool = False,
) -> Written:
    """Write a piece of a video at this rate; None: its own. Raises NoVideo, av.FFmpegError, OSError."""
    own_rate = facts.fps or 24.0
    rate = Fraction(fps or own_rate).limit_denominator(1001)
    pictures, seconds = Pictures(geometry, facts.turn), min(span[1], facts.duration) - span[0]
    timed = frames_of(source, span, tick)
    frames = (frame for _, frame in timed) if fps is None else retimed(timed, fps, seconds)
    count, first, stream = 0, None, None
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        sound = _add_sound(container, source) if keep_audio and facts.has_audio else None
        for frame in frames:
            picture = pictures.make(frame)
            if stream is None:
                stream = _add_stream(container, picture, rate, threads)
                first = picture.to_image() if wants_first else None
            if count >= MAX_FRAMES:
                raise NoVideo(f"it would have more than {MAX_FRAMES:,} frames")
            picture.pts, picture.time_base, picture.pict_type = count, 1 / rate, 0
            container.mux(stream.encode(picture))
            count += 1
        if stream is None:
            raise NoVideo("none of its frames could be decoded")
        container.mux(stream.encode(None))
        if sound is not None:
            _copy_sound(container, sound, source, span)
        return Written(stream.width, stream.height, count, float(rate), first)


def _add_stream(container: Any, picture: Any, rate: Fraction, threads: int) -> Any:
    stream = container.add_stream("libx264", rate=rate, options=dict(_ENCODER))
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
    stream.codec_context.time_base = 1 / rate
    stream.codec_context.thread_count = threads
    for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
        value = getattr(picture, name, None)
        if value is not None and hasattr(stream.codec_context, name):
            setattr(stream.codec_context, name, int(value))
    return stream


def _add_sound(container: Any, source: Path) -> Any:
    with open_video(source) as given:
        rate = given.streams.audio[0].rate or 48_000
    return container.add_stream("aac", rate=rate, layout="stereo")


def _copy_sound(container: Any, sound: Any, source: Path, span: Span) -> None:
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=sound.rate)
    with open_video(source) as given:
        stream, written = given.streams.audio[0], 0
        if span[0] > 0:
            given.seek(int(span[0] * av.time_base))
        for frame in given.decode(stream):
            if frame.time is None or frame.time < span[0] - _SLACK:
                continue
            if frame.time >= span[1]:
                break
            frame.pts = None
            for piece in resampler.resample(frame):
                piece.pts, piece.time_base = written, Fraction(1, sound.rate)
                written += piece.samples
                container.mux(sound.encode(piece))
        container.mux(sound.encode(None))


def read_first(source: Path, facts: VideoFacts, span: Span, geometry: Geometry) -> Image.Image:
    """Return the first frame of a piece, with its changes. Raises NoVideo, av.FFmpegError."""
    for _, frame in frames_of(source, span, lambda _: None):
        image: Image.Image = Pictures(geometry, facts.turn).make(frame).to_image()
        return image
    raise NoVideo("none of its frames could be decoded")


#: Seconds of the video between two ticks.
_CHUNK_SECONDS = 5.0


def find_scenes(path: Path, threshold: float, min_seconds: float, tick: Tick) -> list[Span]:
    """Return the scenes in seconds, in order; at least one. Raises ValueError, OSError."""
    # PySceneDetect is optional, and slow to import because of OpenCV.
    from scenedetect import ContentDetector, SceneManager, open_video  # noqa: PLC0415

    video = open_video(str(path), backend="pyav")
    fps = float(video.frame_rate)
    manager = SceneManager()
    manager.add_detector(ContentDetector(threshold=threshold, min_scene_len=max(1, int(min_seconds * fps))))
    chunk, at = max(1, int(_CHUNK_SECONDS * fps)), 0
    while manager.detect_scenes(video, duration=chunk):
        at += chunk
        tick(at / fps)
    found = manager.get_scene_list(start_in_scene=True)
    return [(float(begin.seconds), float(end.seconds)) for begin, end in found]
