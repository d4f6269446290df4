"""Follows one attempt: its log, its event files, its checkpoints. What it knows survives a restart of the service."""

import hashlib
import logging
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from api.domain.progress import LISTENING_STAGES, Point, Progress, ProgressReport, Stage
from api.domain.task import TaskType
from api.domain.training import Attempt, Checkpoint, TrainingTask
from api.executors.executor import AttemptRef, Executor, StopOrder
from api.files.task_files import write_private
from api.trainers.trainer import Trainer
from api.training.attempts.progress import show_progress
from api.training.attempts.series import append_points
from api.training.attempts.updates import TrainingNews
from api.training.attempts.watch_note import WatchNote, encode_note
from api.util.clock import Clock
from api.util.foreign_files import TROUBLE, read, remove, remove_temporaries

if TYPE_CHECKING:
    from api.trainers.protocol.event_files import EventFileTail

logger = logging.getLogger(__name__)

#: Bytes of the log that one look takes up; at 100 lines/s a look has 10 KB to read.
LOG_BUDGET = 2**20

#: Bytes: a watch that is further behind skips what lies between, so that a flood does not make its progress old.
LOG_BACKLOG = 16 * 2**20

#: The most looks at log and event files once an attempt has ended, as somebody else may go on writing there.
FINISH_ROUNDS = 500

#: Bytes of a line that are looked at.
LINE_BYTES = 64 * 2**10

#: Points kept in memory while the disk takes none: three values for each step of a day.
UNKEPT_POINTS = 100_000

#: Lines kept for a diagnosis and for events.
LAST_LINES = 200

#: Seconds between wall clock and monotonic time that only a clock that was set can put there from one look to the next.
CLOCK_JUMP = 2.0

#: Seconds between two looks at the checkpoints, and between two notes of what is known.
CHECKPOINT_SECONDS = 5.0
SAVE_SECONDS = 10.0


class AttemptWatch:
    """Follows one attempt. One thread uses it at a time."""

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
        self.task = task  #: the task as it was when the watch began
        self._executor = executor
        self._clock = clock
        self._news = news
        self._plan = task.plan
        self._reader = trainer.create_reader(task.plan)
        self._output_dir = ref.directory.parent.parent / "output"
        self.log_start: int | None = None  #: the offset at which its lines begin; None until its supervisor has told
        self._offset: int | None = None
        self._rest = b""
        self._events: EventFileTail | None = None
        self._positions: dict[str, int] = {}
        self._points: list[Point] = []
        self._told: dict[str, int] = {}  # the last step of each series that was told
        self._checkpoints_at = float("-inf")
        self._save_at: float | None = None  #: monotonic; when its next note is due
        self._cannot_save = self._is_stalled = False
        self._unkept: OSError | None = None  # why the points are not in their files yet
        self._clock_offset = self._measure_clocks()
        self._seconds = max(0.0, (clock.now() - (attempt.started_at or attempt.created_at)).total_seconds())
        self._seconds_at = clock.monotonic()
        self._made_at = attempt.created_at.timestamp()
        self.began_at = (attempt.started_at or attempt.created_at).timestamp()  #: Unix seconds
        self.run_dir: Path | None = None if attempt.run_dir is None else Path(attempt.run_dir)
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self._fresh: list[Checkpoint] = []  # found at the end, and not told yet
        self.peak_memory_mb: int | None = None
        self.was_measured_training = False  #: whether its memory was read after its first step
        self.shares_gpus = False  #: whether somebody else was ever seen on its GPUs
        self.run_dir_is_noted = attempt.run_dir is not None
        self.noted_stage: Stage | None = None  #: the latest stage that has an event
        self.has_filled_caches = False  #: whether its caches are full and their leases given up
        self.ordered: StopOrder | None = None  #: the order to stop that its supervisor was given
        self.leave_order: StopOrder | None = None  #: the order that it was told to follow when an engine ends its job
        self._restore()

    @property
    def progress(self) -> Progress:
        """How far the attempt is, by the output that was read so far."""
        return self._reader.progress

    @property
    def signal_file(self) -> Path | None:
        """The file by which the trainer is asked to save and quit; None while it does not look: loading, caching."""
        listens = self.progress.stage in LISTENING_STAGES
        return self.trainer.signal_file(self.run_dir) if listens and self.run_dir is not None else None

    @property
    def seconds(self) -> float:
        """Seconds that the attempt has trained, whatever was done to the wall clock."""
        return self._seconds + self._clock.monotonic() - self._seconds_at

    def show(self) -> ProgressReport:
        """The progress in the form that is shown and kept."""
        shown = show_progress(self.progress, self.attempt, self.seconds)
        return shown.without_pace() if self._is_stalled else shown

    def heed_stall(self, is_stalled: bool) -> None:
        """Notes whether steps have stopped coming; followers are told of a change."""
        if is_stalled is not self._is_stalled:
            self._is_stalled = is_stalled
            self._news.note_progress(self.attempt.task_id)

    def heed_seconds(self, told: float | None) -> None:
        """Takes the training time (s) that its supervisor tells, which began before this watch."""
        if told is not None:
            self._seconds, self._seconds_at = told, self._clock.monotonic()

    def poll(self, save_seconds: float = SAVE_SECONDS) -> None:
        """Reads what is new; what cannot be read now is tried again the next time. Every `save_seconds` it is noted."""
        before = self._offset
        self._heed_clock()
        self._read_log()
        self._find_run_dir()
        self._read_events()
        if self._points or self._offset != before:
            self._news.note_progress(self.attempt.task_id)
        self._keep_points()
        now = self._clock.monotonic()
        if self._save_at is None:
            # Those that a head takes up all at once do not note all at once, then and ever after.
            self._save_at = now + save_seconds * _share_of(self.attempt.uid)
        if now >= self._save_at and self._unkept is None:
            self._save_at = now + save_seconds
            self.save()

    def finish(self) -> list[Checkpoint]:
        """Reads everything that is left after the attempt has ended; returns the checkpoints that are new.

        Raises OSError where the disk hides or refuses something: then it can be called again.
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
        self._keep_points()
        self._fresh += self.look_for_checkpoints()
        self._heed_trouble()
        self.save()
        fresh, self._fresh = self._fresh, []
        return fresh

    def _heed_trouble(self) -> None:
        """Raises the error that keeps points of the curves from being read or kept, unless the disk is merely full."""
        read = None if self._events is None else self._events.trouble
        for error in (self._unkept, read):
            if error is not None and error.errno in TROUBLE:
                raise error

    def _heed_clock(self) -> None:
        """Corrects its times after the wall clock was set or the machine slept, lest that looks like a hang."""
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
        # The log is the task's: an earlier attempt's lines are none of this one's.
        offset = self.log_start if self._offset is None else self._offset
        if offset is None:
            return
        began, content = self._executor.read_log(self.ref, offset, LOG_BUDGET)
        if began != offset:
            # The oldest part of the log is gone already.
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
        """Reads new points; returns whether there may be more at once."""
        if self.run_dir is None or self.task.kind is not TaskType.TRAINING:
            return False
        if self._events is None:
            # Protobuf and what it needs of tensorboard are heavy, and only trainings of this kind need them.
            from api.trainers.protocol.event_files import EventFileTail  # noqa: PLC0415

            self._events = EventFileTail(self.run_dir, self._positions)
        points = self._events.read()
        for point in points:
            self._reader.take_point(point)
        if self.attempt.resumed_from is not None:
            # Its run directory has the event files of earlier attempts too: those points are in their series.
            points = [point for point in points if point.at >= self._made_at]
        self._points.extend(points)
        return not self._events.is_caught_up and self._events.trouble is None

    def _keep_points(self) -> None:
        if not self._points:
            return
        self._tell_points()
        try:
            append_points(self.ref.directory / "series", self._points)
        except OSError as error:
            # Said once; the points are kept for when the disk takes them.
            if self._unkept is None:
                logger.warning("series cannot be written", extra={"attempt": self.ref.uid, "problem": str(error)})
            self._unkept = error
            del self._points[:-UNKEPT_POINTS]
            return
        self._unkept = None
        self._points.clear()

    def _tell_points(self) -> None:
        # Of most points both the log and the event files tell.
        fresh = []
        for point in self._points:
            if point.step > self._told.get(point.tag, -1):
                self._told[point.tag] = point.step
                fresh.append(point)
        self._news.note_points(self.attempt.task_id, fresh)

    def checkpoints_are_due(self) -> bool:
        """Whether it is time to look for checkpoints again."""
        return self._clock.monotonic() - self._checkpoints_at >= CHECKPOINT_SECONDS

    def look_for_checkpoints(self) -> list[Checkpoint]:
        """Looks again; returns the checkpoints that have become complete since the last look."""
        self._checkpoints_at = self._clock.monotonic()
        if self.run_dir is None:
            return []
        known = {checkpoint.name for checkpoint in self.checkpoints if checkpoint.is_complete}
        self.checkpoints = self.trainer.checkpoints(self.run_dir)
        return [found for found in self.checkpoints if found.is_complete and found.name not in known]

    # -- over a restart --------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Writes a note of what it knows, so that a restarted service goes on from there."""
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
            # Said once: a full disk may stay full for days.
            if not self._cannot_save:
                logger.warning("progress cannot be noted", extra={"attempt": self.ref.uid, "problem": str(error)})
            self._cannot_save = True

    def forget(self) -> None:
        """Removes the note: the next watch reads the log anew."""
        remove(str(self._note_path))

    @property
    def _note_path(self) -> Path:
        return self.ref.directory / "watch.json"

    def _restore(self) -> None:
        # Half-written notes of a service that was killed; nobody but the leading one writes them.
        remove_temporaries(str(self.ref.directory), 0.0, only=(self._note_path.name,))
        try:
            note = WatchNote(orjson.loads(read(str(self._note_path))), self._output_dir)
            self._reader.restore(note.reader)
            self._offset, self._rest, self._positions = note.offset, note.rest, note.positions
            self.run_dir = note.run_dir
            self.last_lines.extend(note.last_lines)
            self.peak_memory_mb, self.noted_stage = note.peak_memory_mb, note.noted_stage
            self.shares_gpus, self.was_measured_training = note.shares_gpus, note.was_measured_training
            self._take_up_time(note)
        except FileNotFoundError:
            # A run directory that is resumed has checkpoints already; they are no news.
            self.look_for_checkpoints()
            self._checkpoints_at = float("-inf")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            if isinstance(error, OSError) and error.errno in TROUBLE:
                raise
            logger.warning("the note of an attempt cannot be read: its log is read anew", extra={"problem": str(error)})
            self._reader = self.trainer.create_reader(self._plan)
            self._offset = None
        else:
            self._know(note.checkpoints)

    def _take_up_time(self, note: WatchNote) -> None:
        """Goes on by the steady clock: the wall clock may have been set while nobody looked."""
        mark = self._clock.mark()
        if note.mark is None or note.mark.boot_id != mark.boot_id:
            return
        passed = max(0.0, mark.seconds - note.mark.seconds)
        self._seconds, self._seconds_at = note.seconds + passed, self._clock.monotonic()
        self.began_at += note.shift
        self._made_at += note.shift
        self._shift(self._clock.now().timestamp() - note.noted_at - passed)

    def _know(self, names: list[str]) -> None:
        if self.run_dir is not None:
            found = self.trainer.checkpoints(self.run_dir)
            self.checkpoints = tuple(checkpoint for checkpoint in found if checkpoint.name in names)


def _share_of(uid: str) -> float:
    """A number from 0 to 1 that is another for each attempt, and always the same."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4]) / 2**32
