"""Follow one attempt through its log, event files and checkpoints. Its state survives a restart of the service."""

import hashlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from api.domain.tasks.progress import LISTENING_STAGES, Point, Progress, ProgressReport, Stage
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import Attempt, Checkpoint, TrainingTask
from api.executors.executor import AttemptRef, Executor, StopOrder
from api.files.task_files import write_private
from api.trainers.trainer import ProgressReader, Trainer
from api.training.attempts.watch.progress_reports import show_progress
from api.training.attempts.watch.series import append_points
from api.training.attempts.watch.updates import TrainingNews
from api.training.output.resume_points import find_resume_point
from api.util.clock import Clock, Mark
from api.util.files.foreign_files import MAX_BYTES, TROUBLE, read, remove, remove_temporaries

if TYPE_CHECKING:
    from api.trainers.protocol.event_files import EventFileTail

logger = logging.getLogger(__name__)

#: Limit of log bytes per poll. At 100 lines/s, a poll reads 10 KB.
LOG_BUDGET = 2**20

#: Bytes of backlog beyond which a watch skips log output, so that a flood does not delay its progress.
LOG_BACKLOG = 16 * 2**20

#: Limit of reads of log and event files of an ended attempt, because another process may still write to them.
FINISH_ROUNDS = 500

#: Limit of bytes parsed per line.
LINE_BYTES = 64 * 2**10

#: Limit of points buffered while the disk cannot be written: three values for each step of a day.
MAX_BUFFERED_POINTS = 100_000

#: Number of lines stored for diagnoses and events.
LAST_LINES = 200

#: Difference in seconds between wall clock and monotonic clock, from one poll to the next, that means that the clock
#: was set.
CLOCK_JUMP = 2.0

#: Intervals in seconds of checks for checkpoints, and of notes.
CHECKPOINT_SECONDS = 5.0
SAVE_SECONDS = 10.0


class WatchNote:
    """The validated note of an earlier watch. Raises ValueError, TypeError or LookupError."""

    def __init__(self, given: dict[str, Any], output_dir: Path) -> None:
        self.reader: dict[str, Any] = given["reader"]
        self.offset = _whole(given["offset"])
        self.rest: bytes = given["rest"].encode("latin-1")
        self.positions = {str(name): int(at) for name, at in given["positions"].items() if _whole(at + 1) is not None}
        # Files are written and deleted there, so the directory must be below the output directory.
        self.run_dir = None if given["run_dir"] is None else output_dir / Path(given["run_dir"]).name
        self.last_lines = [str(line) for line in given["last_lines"]]
        self.checkpoints = [str(name) for name in given["checkpoints"]]
        self.peak_memory_mb = _whole(given["peak_memory_mb"])
        self.peaks = {str(uuid): _whole(mb) or 0 for uuid, mb in given.get("peaks", {}).items()}
        # Missing information about sharing counts as shared.
        self.shares_gpus = given.get("shares_gpus") is not False
        self.was_measured_training = given.get("was_measured_training") is True
        noted = given.get("noted_stage")  # missing in notes of older versions
        self.noted_stage = None if noted is None else Stage(noted)
        # Also missing in older notes.
        mark = given.get("mark")
        self.mark = None if mark is None else Mark(str(mark["boot_id"]), float(mark["seconds"]))
        self.seconds, self.noted_at, self.shift = (
            _finite(given.get(name, 0.0)) for name in ("seconds", "noted_at", "shift")
        )


def encode_note(note: dict[str, Any]) -> bytes:
    """Return the note as JSON within the size limit. If there are many long lines, only the last are stored."""
    content = orjson.dumps(note)
    while len(content) > MAX_BYTES and note["last_lines"]:
        note["last_lines"] = note["last_lines"][len(note["last_lines"]) // 2 + 1 :]
        content = orjson.dumps(note)
    return content


def _finite(value: object) -> float:
    if not isinstance(value, (int, float)) or not abs(value) < 2**53:
        raise ValueError("a note has an invalid number")
    return float(value)


def _whole(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("a note has an invalid integer")
    return value


class AttemptWatch:
    """Follows one attempt. Not thread-safe."""

    def __init__(
        self,
        task: TrainingTask,
        attempt: Attempt,
        ref: AttemptRef,
        trainer: Trainer,
        executor: Executor,
        clock: Clock,
        news: TrainingNews,
    ) -> None:
        self.request = task.request
        self.attempt = attempt
        self.ref = ref
        self.trainer = trainer
        self.task = task  #: the task as it was when the watch started
        self._executor = executor
        self._clock = clock
        self._news = news
        self._reader = self._create_reader()
        self._output_dir = ref.directory.parent.parent / "output"
        self.log_start: int | None = None  #: offset of its first line; None until its supervisor reports it
        self._offset: int | None = None
        self._rest = b""
        self._events: EventFileTail | None = None
        self._positions: dict[str, int] = {}
        self._points: list[Point] = []
        self._last_steps: dict[str, int] = {}  # last published step of each series
        self._checkpoints_at = float("-inf")
        self._save_at: float | None = None  #: monotonic time of the next note
        self._cannot_save = self._is_stalled = False
        self._write_error: OSError | None = None  # why points could not be written
        self._clock_offset = self._measure_clocks()
        self._seconds = max(0.0, (clock.now() - (attempt.started_at or attempt.created_at)).total_seconds())
        self._seconds_at = clock.monotonic()
        self._made_at = attempt.created_at.timestamp()
        self.began_at = (attempt.started_at or attempt.created_at).timestamp()  #: Unix seconds
        self.run_dir: Path | None = None if attempt.run_dir is None else Path(attempt.run_dir)
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self._fresh: list[Checkpoint] = []  # found at the end, not recorded yet
        self.peak_memory_mb: int | None = None  #: of its fullest GPU
        self.peaks: dict[str, int] = {}  #: of each GPU in MB, by UUID
        self.was_measured_training = False  #: whether its memory was measured after its first step
        self.shares_gpus = False  #: whether another process was ever seen on its GPUs
        self.run_dir_is_noted = attempt.run_dir is not None
        self.noted_stage: Stage | None = None  #: latest stage with an event
        self.has_filled_caches = False  #: whether its caches are complete and their leases released
        self.ordered: StopOrder | None = None  #: the stop order that its supervisor received
        self.leave_order: StopOrder | None = None  #: the order for its supervisor in case the cluster ends its job
        self._restore()

    def _create_reader(self) -> ProgressReader:
        resumed = find_resume_point(self.trainer, self.attempt.run_dir, self.attempt.resumed_from, self.task.resume)
        return self.trainer.create_reader(self.task.plan, resumed)

    @property
    def progress(self) -> Progress:
        """The progress of the attempt, according to the output read so far."""
        return self._reader.progress

    @property
    def step_seconds(self) -> Sequence[float]:
        """The durations of the latest steps, oldest first."""
        return self._reader.step_seconds

    @property
    def signal_file(self) -> Path | None:
        """The file that makes the trainer save and quit. None while it does not check for it: loading, caching."""
        listens = self.progress.stage in LISTENING_STAGES
        return self.trainer.signal_file(self.run_dir) if listens and self.run_dir is not None else None

    @property
    def seconds(self) -> float:
        """Seconds of training so far, unaffected by changes of the wall clock."""
        return self._seconds + self._clock.monotonic() - self._seconds_at

    def show(self) -> ProgressReport:
        """Return the progress in the form that is shown and stored."""
        shown = show_progress(self.progress, self.attempt, self.seconds)
        return shown.without_pace() if self._is_stalled else shown

    def set_stalled(self, is_stalled: bool) -> None:
        """Record whether steps have stopped. Subscribers are notified of a change."""
        if is_stalled is not self._is_stalled:
            self._is_stalled = is_stalled
            self._news.note_progress(self.attempt.task_id)

    def set_training_seconds(self, seconds: float | None) -> None:
        """Set the training time in seconds reported by the supervisor, which started before this watch."""
        if seconds is not None:
            self._seconds, self._seconds_at = seconds, self._clock.monotonic()

    def poll(self, save_seconds: float = SAVE_SECONDS) -> None:
        """Read new output. Failed reads are retried at the next poll. A note is written every `save_seconds`."""
        before = self._offset
        self._check_clock()
        self._read_log()
        self._find_run_dir()
        self._read_events()
        if self._points or self._offset != before:
            self._news.note_progress(self.attempt.task_id)
        self._write_points()
        now = self._clock.monotonic()
        if self._save_at is None:
            # Spreads the notes of attempts that are taken over at the same time.
            self._save_at = now + save_seconds * _share_of(self.attempt.uid)
        if now >= self._save_at and self._write_error is None:
            self._save_at = now + save_seconds
            self.save()

    def finish(self) -> list[Checkpoint]:
        """Read everything that is left after the attempt has ended. Return new checkpoints.

        Raise OSError if the disk fails. It can then be called again.
        """
        for _ in range(FINISH_ROUNDS):
            before = self._offset
            self._read_log()
            if self._offset == before:
                break
        if self._rest:
            self._take(self._rest, self._clock.now().timestamp())
            self._rest = b""
        self._find_run_dir()
        for _ in range(FINISH_ROUNDS):
            if not self._read_events():
                break
        self._write_points()
        self._fresh += self.find_new_checkpoints()
        self._raise_disk_errors()
        self.save()
        fresh, self._fresh = self._fresh, []
        return fresh

    def _raise_disk_errors(self) -> None:
        """Raise the error that prevents points from being read or written, unless the disk is only full."""
        read = None if self._events is None else self._events.trouble
        for error in (self._write_error, read):
            if error is not None and error.errno in TROUBLE:
                raise error

    def _check_clock(self) -> None:
        """Correct its times after the wall clock was set or the machine slept, to avoid the appearance of a hang."""
        offset = self._measure_clocks()
        jump, self._clock_offset = offset - self._clock_offset, offset
        self._shift(jump)

    def _shift(self, jump: float) -> None:
        if abs(jump) >= CLOCK_JUMP:
            self._reader.progress.shift(jump)
            self.began_at += jump
            self._made_at += jump

    def _measure_clocks(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    # -- the log ---------------------------------------------------------------------------------------------------

    def _read_log(self) -> None:
        # The log belongs to the task and may have lines of earlier attempts.
        offset = self.log_start if self._offset is None else self._offset
        if offset is None:
            return
        began, content = self._executor.read_log(self.ref, offset, LOG_BUDGET)
        if began != offset:
            # The oldest part of the log was already deleted.
            self._rest = b""
        self._offset = began + len(content)
        if not content:
            return
        at = self._clock.now().timestamp()
        *lines, self._rest = (self._rest + content).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._take(line, at)
        self._rest = self._rest[:LINE_BYTES]
        self._skip_backlog(len(content))

    def _skip_backlog(self, got: int) -> None:
        if got < LOG_BUDGET or self._offset is None:
            return
        ahead, content = self._executor.read_log(self.ref, self._offset + LOG_BACKLOG, 1)
        if content:
            self._offset, self._rest = max(ahead, self._offset + LOG_BACKLOG - LOG_BUDGET), b""

    def _take(self, line: bytes, at: float) -> None:
        if not line:
            return
        text = line[:LINE_BYTES].decode(errors="replace")
        self.last_lines.append(text)
        point = self._reader.read(text, at)
        if point is not None:
            self._points.append(point)

    # -- the run directory -----------------------------------------------------------------------------------------

    def _find_run_dir(self) -> None:
        if self.run_dir is not None:
            return
        found = self.trainer.find_run_dir(self._output_dir)
        if found is not None and found.name not in self.attempt.known_run_dirs:
            self.run_dir = found

    def _read_events(self) -> bool:
        """Read new points. Return whether there may be more now."""
        if self.run_dir is None or self.task.kind is not TaskType.TRAINING:
            return False
        if self._events is None:
            # Protobuf and tensorboard take long to import, and only trainings need them.
            from api.trainers.protocol.event_files import EventFileTail  # noqa: PLC0415

            self._events = EventFileTail(self.run_dir, self._positions)
        points = self._events.read()
        for point in points:
            self._reader.take_point(point)
        if self.attempt.resumed_from is not None:
            # The run directory also has event files of earlier attempts, whose points are in their own series.
            points = [point for point in points if point.at >= self._made_at]
        self._points.extend(points)
        return not self._events.is_caught_up and self._events.trouble is None

    def _write_points(self) -> None:
        if not self._points:
            return
        self._publish_points()
        try:
            append_points(self.ref.directory / "series", self._points)
        except OSError as error:
            # Logged once. The points stay buffered until the disk can be written.
            if self._write_error is None:
                logger.warning("cannot write series", extra={"attempt": self.ref.uid, "problem": str(error)})
            self._write_error = error
            del self._points[:-MAX_BUFFERED_POINTS]
            return
        self._write_error = None
        self._points.clear()

    def _publish_points(self) -> None:
        # Most points are in both the log and the event files.
        fresh = []
        for point in self._points:
            if point.step > self._last_steps.get(point.tag, -1):
                self._last_steps[point.tag] = point.step
                fresh.append(point)
        self._news.note_points(self.attempt.task_id, fresh)

    def checkpoints_are_due(self) -> bool:
        """Return whether checkpoints must be checked again."""
        return self._clock.monotonic() - self._checkpoints_at >= CHECKPOINT_SECONDS

    def find_new_checkpoints(self) -> list[Checkpoint]:
        """Read the checkpoints. Return those that have become complete since the last call."""
        self._checkpoints_at = self._clock.monotonic()
        if self.run_dir is None:
            return []
        known = {checkpoint.name for checkpoint in self.checkpoints if checkpoint.is_complete}
        self.checkpoints = self.trainer.checkpoints(self.run_dir)
        return [found for found in self.checkpoints if found.is_complete and found.name not in known]

    # -- restarts --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a note of its state, from which a restarted service continues."""
        if self._events is not None:
            self._positions = self._events.positions
        note = {
            "offset": self._offset,
            "rest": self._rest.decode("latin-1"),
            "positions": self._positions,
            "run_dir": None if self.run_dir is None else str(self.run_dir),
            "reader": self._reader.save(),
            "last_lines": list(self.last_lines),
            "checkpoints": [checkpoint.name for checkpoint in self.checkpoints if checkpoint.is_complete],
            "peak_memory_mb": self.peak_memory_mb,
            "peaks": self.peaks,
            "shares_gpus": self.shares_gpus,
            "was_measured_training": self.was_measured_training,
            "noted_stage": self.noted_stage,
            "seconds": self.seconds,
            "noted_at": self._clock.now().timestamp(),
            "mark": asdict(self._clock.mark()),
            "shift": self._made_at - self.attempt.created_at.timestamp(),
        }
        try:
            write_private(self._note_path, encode_note(note))
            self._cannot_save = False
        except OSError as error:
            # Logged once, because a full disk may stay full for days.
            if not self._cannot_save:
                logger.warning(
                    "cannot write the note of an attempt", extra={"attempt": self.ref.uid, "problem": str(error)}
                )
            self._cannot_save = True

    def forget(self) -> None:
        """Remove the note, so that the next watch reads the log from the start."""
        remove(str(self._note_path))

    @property
    def _note_path(self) -> Path:
        return self.ref.directory / "watch.json"

    def _restore(self) -> None:
        # Temporary files of a service that was killed. Only the leading server writes here.
        remove_temporaries(str(self.ref.directory), 0.0, only=(self._note_path.name,))
        try:
            note = WatchNote(orjson.loads(read(str(self._note_path))), self._output_dir)
            self._reader.restore(note.reader)
            self._offset, self._rest, self._positions = note.offset, note.rest, note.positions
            self.run_dir = note.run_dir
            self.last_lines.extend(note.last_lines)
            self.peak_memory_mb, self.noted_stage = note.peak_memory_mb, note.noted_stage
            self.peaks = note.peaks
            self.shares_gpus, self.was_measured_training = note.shares_gpus, note.was_measured_training
            self._restore_time(note)
        except FileNotFoundError:
            # Existing checkpoints of a resumed run directory are not new.
            self.find_new_checkpoints()
            self._checkpoints_at = float("-inf")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            if isinstance(error, OSError) and error.errno in TROUBLE:
                raise
            logger.warning(
                "cannot read the note of an attempt; reading its log from the start", extra={"problem": str(error)}
            )
            self._reader = self._create_reader()
            self._offset = None
        else:
            self._restore_checkpoints(note.checkpoints)

    def _restore_time(self, note: WatchNote) -> None:
        """Continue by the boot clock, because the wall clock may have been set in the meantime."""
        mark = self._clock.mark()
        if note.mark is None or note.mark.boot_id != mark.boot_id:
            return
        passed = max(0.0, mark.seconds - note.mark.seconds)
        self._seconds, self._seconds_at = note.seconds + passed, self._clock.monotonic()
        self.began_at += note.shift
        self._made_at += note.shift
        self._shift(self._clock.now().timestamp() - note.noted_at - passed)

    def _restore_checkpoints(self, names: list[str]) -> None:
        if self.run_dir is not None:
            found = self.trainer.checkpoints(self.run_dir)
            self.checkpoints = tuple(checkpoint for checkpoint in found if checkpoint.name in names)


def _share_of(uid: str) -> float:
    """Return a number from 0 to 1 that differs between attempts but is constant for each."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4]) / 2**32
