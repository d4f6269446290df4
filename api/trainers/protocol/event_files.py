"""Read scalars from TensorBoard event files while they grow."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError

from api.domain.tasks.progress import Point
from api.trainers.protocol.event_records import CHECKSUM, HEADER, Event, masked_crc32c
from api.util.clock import LAST_SECOND
from api.util.files.foreign_files import TROUBLE, open_plain
from api.util.files.foreign_trees import list_names

_PREFIX = "events.out.tfevents."

#: Bytes of the longest valid record; the longest that a trainer writes, a histogram, has a few KB.
LONGEST_RECORD = 16 * 2**20

#: Bytes of the longest record that is read. Longer ones hold pictures, and their checksums would take seconds.
LONGEST_READ = 2**20

#: Limits for values in a record, tags, characters of a tag, and steps (counted in examples).
MAX_VALUES = 1_000
MAX_TAGS = 500
LONGEST_TAG = 200
LARGEST_STEP = 10**12
#: Most event files read in one run directory; each start of the trainer creates one.
MAX_FILES = 1000

#: Bytes read per call, in about 30 ms.
BUDGET = 256 * 2**10

#: The tag whose x axis is always the epoch.
EPOCH_LOSS = "train/epoch_loss"

#: The position of a file that cannot be read further.
STOPPED = -1


@dataclass(slots=True)
class EventFileTail:
    """All event files of a run directory, oldest first; each call returns the new points.

    Another tail continues from `positions` (bytes read, by file name). With `examples_per_step`, the x axis
    of the files counts examples and is converted to steps.
    """

    run_dir: Path
    positions: dict[str, int] = field(default_factory=dict)
    examples_per_step: int | None = None
    notes: list[str] = field(default_factory=list)  #: files and records that could not be read, with reasons
    _tags: set[str] = field(default_factory=set)
    is_caught_up: bool = False  #: whether the latest call left nothing unread
    trouble: OSError | None = None  #: the error that interrupted the latest call; the next call retries

    def read(self, budget: int = BUDGET) -> list[Point]:
        """Return the new points from about `budget` bytes. Damaged content never raises."""
        points: list[Point] = []
        self.is_caught_up, self.trouble = True, None
        for name in self._names():
            if budget <= 0:
                self.is_caught_up = False
                break
            budget -= self._read_file(name, budget, points)
        return points

    def _names(self) -> list[str]:
        try:
            files = list_names(str(self.run_dir))[1]
        except OSError as error:
            self._handle_error(error, str(self.run_dir))
            return []
        return sorted(name for name in files if name.startswith(_PREFIX))[:MAX_FILES]

    def _read_file(self, name: str, budget: int, points: list[Point]) -> int:
        """Append the new points of one file, and return the number of bytes read."""
        start = position = self.positions.get(name, 0)
        if position == STOPPED:
            return 0
        try:
            with open(open_plain(str(self.run_dir / name)), "rb") as file:
                file.seek(position)
                while position - start < budget:
                    record = self._next_record(file, name)
                    if record is None:
                        break
                    points.extend(self._points(record))
                    position = file.tell()
                else:
                    self.is_caught_up = False
        except OSError as error:
            self._handle_error(error, name)
        if self.positions.get(name) != STOPPED:
            self.positions[name] = position
        return position - start

    def _next_record(self, file: BinaryIO, name: str) -> bytes | None:
        """Return the next complete record, empty if damaged, or None if there is none yet."""
        header = file.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        length, checksum = HEADER.unpack(header)
        if masked_crc32c(header[:8]) != checksum or length > LONGEST_RECORD:
            # Without a valid length, the start of the next record is unknown.
            self.positions[name] = STOPPED
            self._note(f"{name} is damaged after {file.tell() - len(header)} bytes: the rest is ignored")
            return None
        if length > LONGEST_READ:
            return self._skip(file, length + CHECKSUM.size)
        body = file.read(length + CHECKSUM.size)
        if len(body) < length + CHECKSUM.size:
            return None
        record = body[:length]
        if masked_crc32c(record) != CHECKSUM.unpack_from(body, length)[0]:
            self._note(f"{name} has a damaged record, which is ignored")
            return b""
        return record

    def _skip(self, file: BinaryIO, size: int) -> bytes | None:
        """Skip a record and return an empty one, or None if it is incomplete."""
        if file.tell() + size > os.fstat(file.fileno()).st_size:
            return None
        file.seek(size, os.SEEK_CUR)
        return b""

    def _points(self, record: bytes) -> Iterator[Point]:
        try:
            event = Event.FromString(record)
        except DecodeError:
            self._note("a record is not an event and is ignored")
            return
        if not (0 <= event.wall_time <= LAST_SECOND and 0 <= event.step <= LARGEST_STEP):
            self._note("a record with an invalid time or step is ignored")
            return
        for value in event.summary.value[:MAX_VALUES]:
            if value.HasField("simple_value") and self._accepts(value.tag):
                step = event.step
                if self.examples_per_step and value.tag != EPOCH_LOSS:
                    step //= self.examples_per_step
                yield Point(value.tag, step, value.simple_value, event.wall_time)

    def _accepts(self, tag: str) -> bool:
        """Return whether values of this tag are stored. Each tag becomes a file, so their number is limited."""
        if tag in self._tags:
            return True
        if len(self._tags) >= MAX_TAGS or not 0 < len(tag) <= LONGEST_TAG or not tag.isprintable():
            self._note("some tags are invalid or beyond the limit; their values are ignored")
            return False
        self._tags.add(tag)
        return True

    def _handle_error(self, error: OSError, name: str) -> None:
        self._note(f"{name} cannot be read: {error.strerror or error}")
        if error.errno in TROUBLE:
            self.trouble, self.is_caught_up = error, False

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < 20:
            self.notes.append(text)
