"""The program that preprocesses media: `python -m api.jobs.preprocessing.program`.

The work directory holds `settings.json`, `items.jsonl` and the sources, each under its SHA-256. Results and their
records go to `made` there, where the next run after a kill finds them.
"""

import json
import os
import sys
import time
from abc import ABC
from functools import partial
from pathlib import Path
from typing import ClassVar

from api.domain.datasets.media_settings import MediaSettings
from api.domain.tasks.cause import CauseCode
from api.jobs.errors import JobFailed
from api.jobs.kinds import ITEMS_FILE, PREPROCESSING_JOB
from api.jobs.messages import quote_name, report_activity, report_progress, report_warning
from api.jobs.preprocessing.children import ItemChild
from api.jobs.preprocessing.item_work import ItemWork
from api.jobs.preprocessing.work import Record, WorkItem, read_record
from api.jobs.program import JobProgram, main

#: Seconds between two reports about the item at work.
REPORT_SECONDS = 2.0

#: Bytes that every item counts besides its own, because opening a small file takes time too.
_ITEM_BYTES = 200_000

#: The largest record that is read, in bytes.
_MAX_RECORD_BYTES = 8 * 2**20


class Pace:
    """Measures progress by the bytes of the items, since frames are unknown before they are decoded."""

    def __init__(self, items: list[WorkItem]) -> None:
        self._total = len(items)
        self._total_bytes = sum(_ITEM_BYTES + item.size_bytes for item in items) or 1
        self._done = 0
        self._done_bytes = 0.0
        self._worked_bytes = 0.0
        self._started_at = time.monotonic()
        self._reported_at = float("-inf")

    def finish(self, item: WorkItem, *, is_known: bool) -> None:
        """Count an item as done. Items known from an earlier run do not count for the speed."""
        self._done += 1
        self._done_bytes += _ITEM_BYTES + item.size_bytes
        if not is_known:
            self._worked_bytes += _ITEM_BYTES + item.size_bytes
        self.report()

    def report(self, item: WorkItem | None = None, share: float = 0.0) -> None:
        """Print the progress. While an item is at work, print at most every `REPORT_SECONDS`."""
        now = time.monotonic()
        if item is not None and now - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = now
        at_work = 0.0 if item is None else share * (_ITEM_BYTES + item.size_bytes)
        worked, left = self._worked_bytes + at_work, self._total_bytes - self._done_bytes - at_work
        seconds = None if worked <= 0 else left * (now - self._started_at) / worked
        if left <= 0:
            seconds = 0.0
        percent = min(100.0, 100.0 * (self._done_bytes + at_work) / self._total_bytes) if self._total else 100.0
        if item is not None:
            report_activity(f"working on {quote_name(item.path)}")
        report_progress("items", self._done, self._total, percent, seconds)


class ItemProgram(JobProgram, ABC):
    """One run over a list of items."""

    # Results are read and deleted by the service, which is in the same group.
    umask: ClassVar[int] = 0o007

    def __init__(self, work: Path, run: str, threads: int = 1) -> None:
        super().__init__(work, run, threads)
        self.items = read_items(work / ITEMS_FILE)
        self.made = work / "made"
        self.made.mkdir(exist_ok=True)
        self.pace = Pace(self.items)
        self.pace.report()


class MediaProgram(ItemProgram):
    """Applies the settings to each file."""

    kind = PREPROCESSING_JOB

    def __init__(self, work: Path, run: str, threads: int = 1) -> None:
        super().__init__(work, run, threads)
        settings = MediaSettings.from_json(json.loads((work / "settings.json").read_bytes()))
        sources, made = work / "sources", self.made
        self._child = ItemChild(lambda item, tick: ItemWork(item, settings, sources, made, tick, threads), made)

    def execute(self) -> None:
        """Process every item that has no record yet. Raises JobFailed, StopRequested, OSError."""
        os.nice(5)
        for item in self.items:
            record = self._find_record(item)
            is_known = record is not None
            if record is None:
                self.stop_if_requested()
                self._child.work_on(item, partial(self.pace.report, item), self.is_stopping)
                record = self._find_record(item)
            if record is None:
                raise JobFailed(f"The results for {quote_name(item.path)} are missing.", CauseCode.TRAINER_ERROR)
            if record.problem is not None:
                report_warning(f"{quote_name(item.path)}: {record.problem}")
            self.pace.finish(item, is_known=is_known)

    def _find_record(self, item: WorkItem) -> Record | None:
        path = self.made / f"{item.key}.json"
        try:
            if path.stat().st_size > _MAX_RECORD_BYTES:
                return None
            record = read_record(path.read_bytes())
        except (OSError, ValueError):
            return None
        names = [name for made in record.made for name in (made.name, made.mask, made.control) if name is not None]
        return record if all((self.made / name).is_file() for name in names) else None


def read_items(path: Path) -> list[WorkItem]:
    """Return the items of a list. Raises OSError, ValueError."""
    with path.open("rb") as lines:
        return [WorkItem(**json.loads(line)) for line in lines if line.strip()]


if __name__ == "__main__":
    sys.exit(main(MediaProgram, __doc__))
