"""The preprocessing program: `python -m api.jobs.preprocessing.program --work DIR --run NAME`, under a supervisor.

DIR holds `settings.json`, `items.jsonl` and the sources, each under its SHA-256; results and their records go to
`made` there, which the run after a kill takes up. It speaks by what it prints, and ends soon after `stop` appears in
its own directory NAME, where it leaves a word when it is done.
"""

# ruff: noqa: T201 - it speaks by what it prints

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

from api.domain.media_settings import MediaSettings
from api.jobs.preprocessing.children import DiskTrouble, ItemChild
from api.jobs.preprocessing.item_work import ItemWork
from api.jobs.preprocessing.words import COMPLETED, STOPPED, doing_line, problem_line, step_line
from api.jobs.preprocessing.work import Record, WorkItem, read_record

#: Seconds between two lines about the item at hand.
SAY_SECONDS = 2.0

#: Bytes that every item counts as besides its own: to look at a small file takes a while too.
_ITEM_BYTES = 200_000

#: Items that are looked for anew, by name, in the directory of results.
_RECORD_BYTES = 8 * 2**20


class Pace:
    """How far the program is: by the bytes of the items, since frames are not known before they are decoded."""

    def __init__(self, items: list[WorkItem]) -> None:
        self._total = len(items)
        self._whole = sum(_ITEM_BYTES + item.size_bytes for item in items) or 1
        self._done = 0
        self._done_bytes = 0.0
        self._worked_bytes = 0.0
        self._worked_since = time.monotonic()
        self._said_at = float("-inf")

    def finish(self, item: WorkItem, *, is_known: bool) -> None:
        """Counts an item as done; one that was known from before says nothing about the pace."""
        self._done += 1
        self._done_bytes += _ITEM_BYTES + item.size_bytes
        if not is_known:
            self._worked_bytes += _ITEM_BYTES + item.size_bytes
        self.say()

    def say(self, item: WorkItem | None = None, share: float = 0.0) -> None:
        """Prints how far it is, now and then while an item is at work."""
        now = time.monotonic()
        if item is not None and now - self._said_at < SAY_SECONDS:
            return
        self._said_at = now
        at_work = 0.0 if item is None else share * (_ITEM_BYTES + item.size_bytes)
        worked, left = self._worked_bytes + at_work, self._whole - self._done_bytes - at_work
        seconds = None if worked <= 0 else left * (now - self._worked_since) / worked
        if left <= 0:
            seconds = 0.0
        percent = min(100.0, 100.0 * (self._done_bytes + at_work) / self._whole) if self._total else 100.0
        if item is not None:
            print(doing_line("working on", item.path), flush=True)
        print(step_line(self._done, self._total, percent, seconds), flush=True)


class Program:
    """One run over a list of items; what it does with them is `work`."""

    def __init__(self, work: Path, run: str, items: list[WorkItem]) -> None:
        self.items = items
        self.made = work / "made"
        self.pace = Pace(items)
        self._run_dir = work / run
        self._is_told_to_stop = False
        signal.signal(signal.SIGTERM, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_told_to_stop = True

    def is_wanted(self) -> bool:
        """Whether nobody has asked it to stop."""
        return not (self._is_told_to_stop or (self._run_dir / "stop").exists())

    def run(self) -> int:
        """Works; returns the exit code. Raises DiskTrouble."""
        self.made.mkdir(exist_ok=True)
        self._run_dir.mkdir(exist_ok=True)
        print(f"Preprocessing {len(self.items)} items", flush=True)
        self.pace.say()
        return self.work()

    def work(self) -> int:
        """Works on every item; returns what `finish` or `quit` return."""
        raise NotImplementedError

    def finish(self) -> int:
        """Ends it, as everything is done."""
        self._leave("done.json")
        print(COMPLETED, flush=True)
        return 0

    def quit(self) -> int:
        """Ends it, as it was asked to stop."""
        self._leave("stopped.json")
        print(STOPPED, flush=True)
        return 0

    def _leave(self, name: str) -> None:
        """Says to the service that what is recorded here is whole."""
        draft = self._run_dir / f".{name}"
        draft.write_text(json.dumps({"items": len(self.items)}))
        draft.replace(self._run_dir / name)


class MediaProgram(Program):
    """Makes of each file what the settings ask for."""

    def __init__(self, work: Path, run: str, threads: int) -> None:
        super().__init__(work, run, list(read_items(work / "items.jsonl")))
        settings = MediaSettings.from_json(json.loads((work / "settings.json").read_bytes()))
        sources, made = work / "sources", self.made
        self._child = ItemChild(lambda item, tick: ItemWork(item, settings, sources, made, tick, threads), made)

    def work(self) -> int:
        """Works on every item that has no record yet; returns the exit code."""
        for item in self.items:
            record = self._known(item)
            is_known = record is not None
            if record is None:
                if not self.is_wanted():
                    return self.quit()
                self._child.work_on(item, partial(self.pace.say, item), self.is_wanted)
                record = self._known(item)
                if record is None:
                    return self.quit()
            if record.problem is not None:
                print(problem_line(item.path, record.problem), flush=True)
            self.pace.finish(item, is_known=is_known)
        return self.finish()

    def _known(self, item: WorkItem) -> Record | None:
        path = self.made / f"{item.key}.json"
        try:
            if path.stat().st_size > _RECORD_BYTES:
                return None
            record = read_record(path.read_bytes())
        except (OSError, ValueError):
            return None
        names = [name for made in record.made for name in (made.name, made.mask, made.control) if name is not None]
        return record if all((self.made / name).is_file() for name in names) else None


def read_items(path: Path) -> Iterator[WorkItem]:
    """The items of a list. Raises OSError, ValueError."""
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield WorkItem(**json.loads(line))


def run_program(make: Callable[[Path, str, int], Program], about: str | None) -> int:
    """Runs the program that `make` gives for the directory, the run and the threads of the command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", required=True, help="the name of this run's own directory")
    parser.add_argument("--threads", type=int, default=1, help="threads that encode")
    arguments = parser.parse_args()
    os.umask(0o007)
    try:
        return make(arguments.work, arguments.run, arguments.threads).run()
    except DiskTrouble as error:
        print(f"OSError: [Errno 28] No space left on device: {error}", file=sys.stderr, flush=True)
        return 1


def main() -> int:
    """Works as the directory says."""
    os.nice(5)
    return run_program(MediaProgram, __doc__)


if __name__ == "__main__":
    sys.exit(main())
