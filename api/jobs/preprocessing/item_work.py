"""Process one item, in a child process: examine it, apply the settings and return the record."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from PIL import Image

from api.domain.datasets.media_settings import CutBy, FirstFrame, MediaSettings
from api.jobs.preprocessing.images import make_image, make_side_image, open_image, save_first_frame
from api.jobs.preprocessing.recipe import Geometry, NothingLeft, Span, changes_rate, plan_geometry, plan_spans
from api.jobs.preprocessing.videos import NoVideo, Tick, VideoFacts, Written, read_facts, read_first, write_video
from api.jobs.preprocessing.work import Made, Record, WorkItem

#: The container of converted videos.
_MP4 = "mp4"


class ItemWork:
    """The work on one item."""

    def __init__(
        self, item: WorkItem, settings: MediaSettings, sources: Path, results: Path, tick: Tick, threads: int = 1
    ) -> None:
        """`tick` receives the progress of the item, from 0 to 1."""
        self._item = item
        self._settings = settings
        self._sources = sources
        self._results = results
        self._tick = tick
        self._threads = threads

    def run(self) -> Record:
        """Return the record of the item, with a problem if it is unreadable.

        Raises OSError for a failing disk, MemoryError.
        """
        try:
            with decoding():
                return self._run()
        except (NothingLeft, NoVideo) as error:
            return Record(self._item.key, (Made("", None),), str(error))
        except Image.DecompressionBombError:
            return Record(self._item.key, (Made("", None),), "it has too many pixels")

    def _run(self) -> Record:
        source = self._sources / self._item.sha256
        image = open_image(source)
        if image is None:
            return self._make_videos(source)
        with image, decoding():
            made, geometry = make_image(image, self._settings, self._results, self._item.key)
            mask, control = self._make_sides(geometry, image.size)
        return Record(self._item.key, (replace(made, mask=mask, control=control),))

    def _make_videos(self, source: Path) -> Record:
        with decoding():
            facts = read_facts(source)
        geometry = plan_geometry(facts.width, facts.height, self._settings, is_video=True)
        spans, dropped = plan_spans(facts.duration, self._settings, self._scenes(source))
        mask, control = self._make_sides(geometry, (facts.width, facts.height))
        made: list[Made] = []
        for number, span in enumerate(spans):
            with decoding():
                made += self._make_piece(source, facts, geometry, spans, number, span)
        return Record(self._item.key, tuple(replace(one, mask=mask, control=control) for one in made), dropped=dropped)

    def _scenes(self, source: Path) -> list[Span]:
        cut = self._settings.cut
        if cut is None or cut.by is not CutBy.SCENE:
            return []
        # PySceneDetect is optional, and slow to import because of OpenCV.
        from api.jobs.preprocessing.videos import find_scenes  # noqa: PLC0415

        with decoding():
            return find_scenes(source, cut.threshold, cut.min_seconds, lambda _: self._tick(0.0))

    def _make_piece(
        self, source: Path, facts: VideoFacts, geometry: Geometry, spans: list[Span], number: int, span: Span
    ) -> Iterator[Made]:
        settings, is_cut = self._settings, len(spans) > 1 or spans[0] != (0.0, facts.duration)
        suffix = f"_{number:03d}" if is_cut else ""
        file, first_frame = f"{self._item.key}{suffix}", settings.first_frame
        still = self._results / f"{file}_first.png"
        if first_frame is FirstFrame.ONLY:
            first = read_first(source, facts, span, geometry)
            yield save_first_frame(first, still, Made(suffix, None))
            return
        if not self._changes(facts, geometry, is_cut=is_cut):
            yield from self._keep_piece(source, facts, geometry, span, still)
            return
        target = self._results / f"{file}.mp4"
        written = self._write_piece(source, facts, geometry, spans, span, target)
        made = Made(
            suffix,
            ".mp4",
            target.name,
            None,
            None,
            written.width,
            written.height,
            written.fps,
            written.duration,
            written.frames,
        )
        yield made
        if written.first is not None:
            yield save_first_frame(written.first, still, made)

    def _write_piece(
        self, source: Path, facts: VideoFacts, geometry: Geometry, spans: list[Span], span: Span, target: Path
    ) -> Written:
        settings = self._settings
        return write_video(
            source,
            facts,
            span,
            settings.fps if changes_rate(facts.fps, settings.fps) else None,
            geometry,
            target,
            lambda at: self._tick(_share(at, spans, facts)),
            threads=self._threads,
            keep_audio=settings.keep_audio,
            wants_first=settings.first_frame is FirstFrame.ADD,
        )

    def _keep_piece(
        self, source: Path, facts: VideoFacts, geometry: Geometry, span: Span, still: Path
    ) -> Iterator[Made]:
        """Yield the unchanged clip."""
        made = Made("", None, None, None, None, facts.width, facts.height, facts.fps, facts.duration, facts.frame_count)
        yield made
        if self._settings.first_frame is FirstFrame.ADD:
            yield save_first_frame(read_first(source, facts, span, geometry), still, made)

    def _changes(self, facts: VideoFacts, geometry: Geometry, *, is_cut: bool) -> bool:
        has_right_format = self._settings.video_format is None or (_MP4 in facts.container and facts.codec == "h264")
        return is_cut or geometry.changes or changes_rate(facts.fps, self._settings.fps) or not has_right_format

    def _make_sides(self, geometry: Geometry, size: tuple[int, int]) -> tuple[str | None, str | None]:
        """Write mask and control image, if they exist and the geometry changes them, and return their files."""
        return (
            self._make_side("mask", self._item.mask, geometry, size),
            self._make_side("control", self._item.control, geometry, size),
        )

    def _make_side(self, name: str, sha256: str | None, geometry: Geometry, size: tuple[int, int]) -> str | None:
        if sha256 is None or not geometry.changes:
            return None
        file = f"{self._item.key}_{name}.png"
        try:
            make_side_image(self._sources / sha256, geometry, size, self._results / file)
        except ValueError as error:
            raise NothingLeft(str(error)) from None
        return file


def _share(at: float, spans: list[Span], facts: VideoFacts) -> float:
    return min(1.0, at / facts.duration) if facts.duration > 0 and spans else 0.0


@contextmanager
def decoding() -> Iterator[None]:
    """Turn any error of a decoder into NoVideo, because decoders can raise nearly anything for malicious files."""
    try:
        yield
    except (NothingLeft, NoVideo, Image.DecompressionBombError, MemoryError):
        raise
    except OSError as error:
        # Errors of the disk, unlike those of the file, have a system error number. FFmpeg's errors are not built in.
        if error.errno is not None and 0 < error.errno < 200 and type(error).__module__ == "builtins":
            raise
        raise NoVideo(f"it cannot be decoded: {_short(error)}") from None
    except Exception as error:
        raise NoVideo(f"it cannot be decoded: {_short(error)}") from None


def _short(error: Exception) -> str:
    with suppress(Exception):
        text = f"{type(error).__name__}: {error}"
        return text.splitlines()[0][:200]
    return type(error).__name__
