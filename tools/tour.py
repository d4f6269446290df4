"""Record what a checkout does, so that two recordings can be compared: `tour.py record` and `tour.py compare`.

The tour starts servers of a checkout, makes the requests of touring/script.txt, and looks at the files that come of
them. What differs between two runs of the same code is replaced by words in angle brackets: see touring/names.py.
"""

import argparse
import difflib
import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from touring.asking import PATIENCE, Tour
from touring.names import Names
from touring.operations import coverage, refuse
from touring.servers import ALL, LIMITED, end_processes, environment, keep_gate, main_settings, prepare, running

from tests.local_hub import LocalHub, running_hub

#: Whose help is recorded, and what is said by commands after the main server has ended.
HELPS = ["", "serve", "key", "key new", "key list", "key revoke", "key file", "backup", "audit-verify", "worker"]
COMMANDS = ["--port x", "nonsense", "key list", "key new --name x", "audit-verify", "backup", "restore nothing"]

#: What a log says when the machine is too busy to read simulated GPUs in time, or when a reader of a stream has left.
LUCK = re.compile("has not returned for|ASGI callable returned without completing response")

#: Headers of the files of the page that are recorded.
PAGE_HEADERS = ("content-type", "cache-control")

#: Fields of each line of a log.
UNTOLD = {"level", "logger", "message", "time"}

#: Names of files that nobody can foresee, and those of which there may be one more.
UNFORESEEN = re.compile(
    r"global_step\d+|(?<=registry/sha256/).*|(?<=output/)run_.*|(?<![0-9a-f])([0-9a-f]{16}|[0-9a-f]{32})(?![0-9a-f])"
)


@dataclass
class Trip:
    """A checkout, and what a tour through it needs."""

    checkout: Path
    home: Path
    hub: LocalHub
    names: Names
    kept: dict[str, str]
    files: Mapping[str, bytes]
    scripts: Mapping[str, str]
    said: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    def take(
        self, script: str, server: str, more: Mapping[str, str], then: Callable[[Tour], None] | None = None
    ) -> Tour:
        """Run a server, play a script to it, and go on with what else there is to do."""
        settings = self.settings(server, more)
        with running(self.checkout, self.home / server, settings) as (address, key):
            tour = Tour(script, address, self.names, self.kept | {"admin": key})
            tour.files, tour.run = self.files, lambda words: self.say([words], settings)
            if script == "main":
                keep_gate(self.hub, tour.gate, tour.reached)
            for line in self.scripts[script].splitlines():
                if line and not line.startswith("#"):
                    _at(line, tour)
            if then is not None:
                then(tour)
        self.kept.update(tour.kept)
        self.records += tour.records
        return tour

    def settings(self, server: str, more: Mapping[str, str]) -> dict[str, str]:
        """Return the settings of a server of this name."""
        return {**ALL, "STORAGE_ROOT": str(self.home / server / "data"), **more}

    def say(self, commands: Iterable[str], settings: Mapping[str, str]) -> None:
        """Keep what commands of run.py say."""
        self.said += (say(self.checkout, self.names, words, settings) for words in commands)


def _at(line: str, tour: Tour) -> None:
    try:
        tour.play(line)
    except Exception as error:
        error.add_note(f"at: {line}; the last answer: {json.dumps(tour.records[-1:])[:3000]}")
        raise


def say(checkout: Path, names: Names, words: str, settings: Mapping[str, str]) -> str:
    """Return what a command of run.py says."""
    command = [sys.executable, str(checkout / "run.py"), *words.split()]
    done = subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return f"== run.py {names.text(words)}: {done.returncode}\n{names.text(done.stdout + done.stderr)}"


def record(checkout: Path, out: Path) -> None:
    """Take the tour through a checkout and write down what was seen."""
    out.mkdir(parents=True, exist_ok=True)
    script = (Path(__file__).parent / "touring" / "script.txt").read_text()
    parts = re.split(r"^== (\w+)\n", script, flags=re.MULTILINE)[1:]
    scripts = dict(zip(parts[::2], parts[1::2], strict=True))
    with TemporaryDirectory(prefix="tour-") as home, running_hub() as hub, ThreadPoolExecutor(1) as beside:
        places = {home: "<tmp>", sys.prefix: "<python>", str(checkout): "<checkout>", os.uname().nodename: "<host>"}
        kept, files = prepare(Path(home), hub)
        main, others = (Trip(checkout, Path(home), hub, Names(places), dict(kept), files, scripts) for _ in range(2))
        helps = beside.submit(lambda: [say(checkout, others.names, f"{words} --help", {}) for words in HELPS])
        others_end = beside.submit(take_others, others)
        try:
            document = take_main(main, out)
            others_end.result()
        finally:
            end_processes(Path(home))
            for log in Path(home).glob("*/server.log"):
                # To look into what differs; they are not compared.
                (out / "logs").mkdir(exist_ok=True)
                shutil.copy(log, out / "logs" / f"{log.parent.name}.log")
        records = main.records + others.records
        _write(out / "answers.jsonl", map(json.dumps, records))
        _write(out / "events.txt", events(records))
        _write(out / "coverage.txt", coverage(records, document))
        _write(out / "commands.txt", main.said + others.said)
        _write(out / "help.txt", helps.result())


def take_main(trip: Trip, out: Path) -> dict[str, Any]:
    """Ask the main server for everything and write down what it leaves; return its OpenAPI document."""
    document: dict[str, Any] = {}

    def go_on(tour: Tour) -> None:
        document.update(tour.client.get("/openapi.json", headers=tour.authorization()).json())
        refuse(tour, document)
        _write(out / "page.txt", page_files(tour))

    more = main_settings(trip.home, trip.hub)
    tour = trip.take("main", "main", more, go_on)
    root = trip.home / "main" / "data"
    _write(out / "openapi.json", [json.dumps(document, indent=1, sort_keys=True)])
    _write(out / "metrics.txt", sorted(tour.metrics))
    _write(out / "schema.sql", [schema(root)])
    _write(out / "log.txt", log_lines((trip.home / "main" / "server.log").read_text(), trip.names))
    _write(out / "files.txt", tree(root, tour.kept["a"], trip.names))
    trip.say(COMMANDS, trip.settings("main", more))
    return document


def take_others(trip: Trip) -> None:
    """Ask servers with other settings for what is different there."""
    trip.take("laptop", "laptop", {})
    trip.say([f"restore {trip.home}/laptop.tar.gz --force"], trip.settings("laptop", {}))
    trip.take("restored", "laptop", {})
    trip.take("limited", "limited", LIMITED)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


# -- what is seen besides answers --------------------------------------------------------------------------------------


def page_files(tour: Tour) -> list[str]:
    """Return the files of the page with their types, found as a browser finds them."""
    named = re.compile(r"""["'(`]((?:\.{1,2}/|/)[\w@./-]+\.(?:m?js|css|svg|png|woff2|json))["')`]""")
    waiting, seen = ["/", "/docs", "/openapi.json"], dict[str, str]()
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        answer = tour.client.get(address, headers=tour.authorization())
        seen[address] = " ".join(map(str, (answer.status_code, *map(answer.headers.get, PAGE_HEADERS))))
        if answer.is_success and re.search("html|javascript|css", seen[address]):
            waiting += [str(httpx.URL(address).join(each)) for each in named.findall(answer.text)]
    # What is not there is named only inside of libraries.
    found = (f"{address} {what}" for address, what in seen.items() if what.startswith("2"))
    return sorted(re.sub(r"/[0-9a-f]{8,}/", "/<digest>/", line) for line in found)


def schema(root: Path) -> str:
    """Return the schema of the SQLite database below a STORAGE_ROOT."""
    (path,) = root.glob("*.sqlite")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name, sql")
        return "\n".join(f"-- {kind} {name}\n{sql}" for kind, name, sql in rows)


def tree(root: Path, task: str, names: Names) -> Iterator[str]:
    """Tell the files below a STORAGE_ROOT with their modes, and what the texts of one task say."""
    paths = sorted(root.rglob("*"))
    called = {path: names.text(str(path.relative_to(root))) for path in paths}
    told = {(UNFORESEEN.sub("<n>", called[path]), stat.filemode(path.lstat().st_mode)) for path in paths}
    yield from (f"{mode} {name}" for name, mode in sorted(told))
    for path in paths:
        if task in path.parts and path.is_file():
            with suppress(UnicodeDecodeError):
                text = path.read_text(encoding="utf-8")
                yield f"== {called[path]}"
                with suppress(ValueError):
                    text = json.dumps(names.json(json.loads(text)), indent=1)
                yield names.text(text)


def log_lines(text: str, names: Names) -> list[str]:
    """Return what a server has logged: levels, messages and the names of fields, each once and in no order."""
    lines = (line for line in text.splitlines() if line.startswith("{") and not LUCK.search(line))
    told = (names.json(json.loads(line)) for line in lines)
    return sorted({f"{each['level']} {each['message']} ({', '.join(sorted(each.keys() - UNTOLD))})" for each in told})


def events(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Tell the events of the tasks that were asked about."""
    for each in records:
        if re.search(r"/(training|preprocess)/[^/]+/events$", each["path"]) and each["status"] == 200:
            yield each["path"]
            for event in each["answer"]["data"]["events"]:
                yield f"  {event['type']}: {event['previous']} -> {event['current']}: {event['message']}"


# -- comparing ---------------------------------------------------------------------------------------------------------


def differences(one: Path, other: Path) -> Iterator[str]:
    """Tell where two recordings differ."""
    for name in sorted({path.name for place in (one, other) for path in place.iterdir() if path.is_file()}):
        there = [place for place in (one, other) if (place / name).exists()]
        if len(there) == 1:
            yield f"{name}: only in {there[0]}"
            continue
        before, after = ((place / name).read_text().splitlines() for place in (one, other))
        if before == after:
            continue
        if name == "answers.jsonl":
            yield from _changed_answers(before, after)
        else:
            yield from difflib.unified_diff(before, after, f"{one}/{name}", f"{other}/{name}", n=1, lineterm="")


def _changed_answers(before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    old, new = ({each["step"]: each for each in map(json.loads, lines)} for lines in (before, after))
    for step in old | new:
        found = list(changes(old.get(step), new.get(step)))
        yield from [step, *found] if found else []


def changes(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Tell where two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from changes(one.get(key, "<none>"), other.get(key, "<none>"), f"{at}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from changes(*pair, f"{at}/{index}")
    elif one != other:
        yield f"  {at}\n    - {json.dumps(one)[:500]}\n    + {json.dumps(other)[:500]}"


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="record what a checkout does")
    recording.add_argument("--checkout", type=Path, default=ROOT, help="its directory; this one by default")
    recording.add_argument("--out", type=Path, required=True, help="the directory that the recording is written into")
    comparing = commands.add_parser("compare", help="tell where two recordings differ, and exit with 1 where they do")
    comparing.add_argument("one", type=Path)
    comparing.add_argument("other", type=Path)
    given = parser.parse_args()
    if given.command == "record":
        # What was started ends also when the tour is stopped.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        record(given.checkout.resolve(), given.out)
        print((given.out / "coverage.txt").read_text(), end="")
        return 0
    found = list(differences(given.one, given.other))
    print("\n".join(found) if found else "no difference")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
