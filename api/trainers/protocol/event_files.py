"""Reads the scalars of TensorBoard event files while they grow."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError

from api.domain.progress import Point
from api.trainers.protocol.event_records import CHECKSUM, HEADER, Event, masked_crc32c
from api.util.clock import LAST_SECOND
from api.util.foreign_files import TROUBLE, open_plain
from api.util.foreign_trees import list_names

_PREFIX = "events.out.tfevents."

#: Bytes of the longest record that is believed: the longest that a trainer writes, a histogram, has a few KB.
LONGEST_RECORD = 16 * 2**20

#: Bytes of the longest record that is read: a longer one holds pictures, and to check its sum would take seconds.
LONGEST_READ = 2**20

#: Generous bounds on values in a record, tags, characters of a tag, and steps (counted in examples).
MOST_VALUES = 1_000
MOST_TAGS = 500
LONGEST_TAG = 200
LARGEST_STEP = 10**12
#: The most event files of one run directory that are read: each start of the trainer makes one.
MAX_FILES = 1000

#: Bytes that one call reads, in about 30 ms.
BUDGET = 256 * 2**10

#: The tag whose x axis is the epoch, whatever that of the others is.
EPOCH_LOSS = "train/epoch_loss"

#: The position in a file that cannot be read any further.
STOPPED = -1


@dataclass(slots=True)
class EventFileTail:
    """All event files of a run directory, oldest first; each call gives what is new.

    `positions` (bytes read, by file name) can be kept and given to another tail, which goes on from there. With
    `examples_per_step` the x axis in the files counts examples, and is turned back into steps.
    """

    run_dir: Path
    positions: dict[str, int] = field(default_factory=dict)
    examples_per_step: int | None = None
    notes: list[str] = field(default_factory=list)  #: what could not be read, and why
    _tags: set[str] = field(default_factory=set)
    is_caught_up: bool = False  #: whether the latest call left nothing for the next one
    trouble: OSError | None = None  #: what kept the latest call from reading; the next call tries the same again

    def read(self, budget: int = BUDGET) -> list[Point]:
        """The new points, from about `budget` bytes at most. Never raises for what the files hold."""
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
            self._heed(error, str(self.run_dir))
            return []
        return sorted(name for name in files if name.startswith(_PREFIX))[:MAX_FILES]

    def _read_file(self, name: str, budget: int, points: list[Point]) -> int:
        """Appends the new points of one file; returns how many bytes were read."""
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
            self._heed(error, name)
        if self.positions.get(name) != STOPPED:
            self.positions[name] = position
        return position - start

    def _next_record(self, file: BinaryIO, name: str) -> bytes | None:
        """The next whole record, empty when it is damaged; None when there is none (yet)."""
        header = file.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        length, checksum = HEADER.unpack(header)
        if masked_crc32c(header[:8]) != checksum or length > LONGEST_RECORD:
            # Without a length nobody can tell where the next record begins.
            self.positions[name] = STOPPED
            self._note(f"{name} is damaged after {file.tell() - len(header)} bytes: the rest of it is not read")
            return None
        if length > LONGEST_READ:
            return self._pass_over(file, length + CHECKSUM.size)
        body = file.read(length + CHECKSUM.size)
        if len(body) < length + CHECKSUM.size:
            return None
        record = body[:length]
        if masked_crc32c(record) != CHECKSUM.unpack_from(body, length)[0]:
            self._note(f"{name} has a damaged record, which is left out")
            return b""
        return record

    def _pass_over(self, file: BinaryIO, size: int) -> bytes | None:
        """Skips a record and returns an empty one; None while it is not whole."""
        if file.tell() + size > os.fstat(file.fileno()).st_size:
            return None
        file.seek(size, os.SEEK_CUR)
        return b""

    def _points(self, record: bytes) -> Iterator[Point]:
        try:
            event = Event.FromString(record)
        except DecodeError:
            self._note("a record is no event, and is left out")
            return
        if not (0 <= event.wall_time <= LAST_SECOND and 0 <= event.step <= LARGEST_STEP):
            self._note("a record has no possible time or step, and is left out")
            return
        for value in event.summary.value[:MOST_VALUES]:
            if value.HasField("simple_value") and self._takes(value.tag):
                step = event.step
                if self.examples_per_step and value.tag != EPOCH_LOSS:
                    step //= self.examples_per_step
                yield Point(value.tag, step, value.simple_value, event.wall_time)

    def _takes(self, tag: str) -> bool:
        """Whether a series may have this name, and there are not too many of them already: each is a file."""
        if tag in self._tags:
            return True
        if len(self._tags) >= MOST_TAGS or not 0 < len(tag) <= LONGEST_TAG or not tag.isprintable():
            self._note("there are too many tags, or some that are no names; their values are left out")
            return False
        self._tags.add(tag)
        return True

    def _heed(self, error: OSError, name: str) -> None:
        self._note(f"{name} cannot be read: {error.strerror or error}")
        if error.errno in TROUBLE:
            self.trouble, self.is_caught_up = error, False

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < 20:
            self.notes.append(text)
