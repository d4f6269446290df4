"""Record the behaviour of a checkout and compare two recordings: `tour.py record` and `tour.py compare`.

The tour starts servers of a checkout, sends the requests of touring/script.txt, and records responses and files. Values
that differ between two runs of the same code become placeholders in angle brackets: see touring/names.py.
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
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from touring.client import PATIENCE, Tour
from touring.names import Names
from touring.operations import coverage, refuse
from touring.servers import ALL, LIMITED, end_processes, environment, install_gate, main_settings, prepare, running

from tests.comfyui_server import comfy_server
from tests.local_hub import LocalHub, running_hub

#: Commands whose help is recorded, and commands that run after the main server has ended.
HELPS = ["", "serve", "key", "key new", "key list", "key revoke", "key file", "backup", "audit-verify", "worker"]
COMMANDS = ["--port x", "nonsense", "key list", "key new --name x", "audit-verify", "backup", "restore nothing"]

#: Log lines that depend on timing: a busy machine reads simulated GPUs late, or a stream's reader has left.
LUCK = re.compile("has not returned for|ASGI callable returned without completing response")

#: Recorded headers of the page's files.
PAGE_HEADERS = ("content-type", "cache-control")

#: Fields that every log line has.
COMMON_FIELDS = {"level", "logger", "message", "time"}

#: File names that are random, or whose number varies.
UNFORESEEN = re.compile(
    r"global_step\d+|(?<=registry/sha256/).*|(?<=output/)run_.*|(?<![0-9a-f])([0-9a-f]{16}|[0-9a-f]{32})(?![0-9a-f])"
)


@dataclass
class Trip:
    """A checkout with the context of a tour through it."""

    checkout: Path
    home: Path
    hub: LocalHub
    names: Names
    variables: dict[str, str]
    files: Mapping[str, bytes]
    scripts: Mapping[str, str]
    observe: Callable[[httpx.Response, Any], None] = lambda answer, body: None
    outputs: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    def take(
        self, script: str, server: str, more: Mapping[str, str], then: Callable[[Tour], None] | None = None
    ) -> Tour:
        """Start a server, play a script against it, then call `then`."""
        settings = self.settings(server, more)
        with running(self.checkout, self.home / server, settings) as (address, key):
            tour = Tour(script, address, self.names, self.variables | {"admin": key})
            tour.files, tour.run = self.files, lambda words: self.run_commands([words], settings)
            tour.observe = self.observe
            if script == "main":
                install_gate(self.hub, tour.gate, tour.reached)
            for line in self.scripts[script].splitlines():
                if line and not line.startswith("#"):
                    _play(line, tour)
            if then is not None:
                then(tour)
        self.variables.update(tour.variables)
        self.records += tour.records
        return tour

    def settings(self, server: str, more: Mapping[str, str]) -> dict[str, str]:
        """Return the settings of a server of this name."""
        return {**ALL, "STORAGE_ROOT": str(self.home / server / "data"), **more}

    def run_commands(self, commands: Iterable[str], settings: Mapping[str, str]) -> None:
        """Run commands of run.py and record their output."""
        self.outputs += (run_command(self.checkout, self.names, words, settings) for words in commands)


def _play(line: str, tour: Tour) -> None:
    try:
        tour.play(line)
    except Exception as error:
        error.add_note(f"at: {line}; last response: {json.dumps(tour.records[-1:])[:3000]}")
        raise


def run_command(checkout: Path, names: Names, words: str, settings: Mapping[str, str]) -> str:
    """Return the output of a command of run.py."""
    command = [sys.executable, str(checkout / "run.py"), *words.split()]
    done = subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return f"== run.py {names.text(words)}: {done.returncode}\n{names.text(done.stdout + done.stderr)}"


def record(checkout: Path, out: Path) -> None:
    """Tour a checkout and write the recording to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    scripts = read_scripts()
    with TemporaryDirectory(prefix="tour-") as home, ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        hub, comfy = stack.enter_context(running_hub()), stack.enter_context(comfy_server(Path(home) / "loras"))
        placeholders = {
            home: "<tmp>",
            sys.prefix: "<python>",
            str(checkout): "<checkout>",
            os.uname().nodename: "<host>",
        }
        variables, files = prepare(Path(home), hub, comfy.url)
        main, others = (
            Trip(checkout, Path(home), hub, Names(placeholders), dict(variables), files, scripts) for _ in range(2)
        )
        helps = pool.submit(lambda: [run_command(checkout, others.names, f"{words} --help", {}) for words in HELPS])
        others_end = pool.submit(take_others, others)
        try:
            document = take_main(main, out)
            others_end.result()
        finally:
            end_processes(Path(home))
            for log in Path(home).glob("*/server.log"):
                # Stored to investigate differences; logs are not compared.
                (out / "logs").mkdir(exist_ok=True)
                shutil.copy(log, out / "logs" / f"{log.parent.name}.log")
        records = main.records + others.records
        _write(out / "answers.jsonl", map(json.dumps, records))
        _write(out / "events.txt", events(records))
        _write(out / "coverage.txt", coverage(records, document))
        _write(out / "commands.txt", main.outputs + others.outputs)
        _write(out / "help.txt", helps.result())


def read_scripts() -> dict[str, str]:
    """Return the script of each server."""
    script = (Path(__file__).parent / "touring" / "script.txt").read_text()
    parts = re.split(r"^== (\w+)\n", script, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def take_main(trip: Trip, out: Path) -> dict[str, Any]:
    """Tour the main server and record the files that it leaves; return its OpenAPI document."""
    document: dict[str, Any] = {}

    def go_on(tour: Tour) -> None:
        document.update(tour.client.get("/openapi.json", headers=tour.authorization()).json())
        refuse(tour, document)
        _write(out / "page.txt", page_files(tour))

    more = main_settings(trip.home, trip.hub, trip.variables["comfyui"])
    tour = trip.take("main", "main", more, go_on)
    root = trip.home / "main" / "data"
    _write(out / "openapi.json", [json.dumps(document, indent=1, sort_keys=True)])
    _write(out / "metrics.txt", sorted(tour.metrics))
    _write(out / "schema.sql", [schema(root)])
    _write(out / "log.txt", log_lines((trip.home / "main" / "server.log").read_text(), trip.names))
    _write(out / "files.txt", tree(root, tour.variables["a"], trip.names))
    trip.run_commands(COMMANDS, trip.settings("main", more))
    return document


def take_others(trip: Trip) -> None:
    """Tour servers with other settings."""
    trip.take("laptop", "laptop", {})
    trip.run_commands([f"restore {trip.home}/laptop.tar.gz --force"], trip.settings("laptop", {}))
    trip.take("restored", "laptop", {})
    trip.take("limited", "limited", LIMITED)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


# -- recordings besides responses --------------------------------------------------------------------------------------


def page_files(tour: Tour) -> list[str]:
    """Return the page's files with their types, found by following references as a browser does."""
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
    # Only libraries name files that do not exist.
    found = (f"{address} {status}" for address, status in seen.items() if status.startswith("2"))
    return sorted(re.sub(r"/[0-9a-f]{8,}/", "/<digest>/", line) for line in found)


def schema(root: Path) -> str:
    """Return the schema of the SQLite database below a STORAGE_ROOT."""
    (path,) = root.glob("*.sqlite")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name, sql")
        return "\n".join(f"-- {kind} {name}\n{sql}" for kind, name, sql in rows)


def tree(root: Path, task: str, names: Names) -> Iterator[str]:
    """Yield the files below a STORAGE_ROOT with their modes, and the contents of one task's text files."""
    paths = sorted(root.rglob("*"))
    labels = {path: names.text(str(path.relative_to(root))) for path in paths}
    listed = {(UNFORESEEN.sub("<n>", labels[path]), stat.filemode(path.lstat().st_mode)) for path in paths}
    yield from (f"{mode} {name}" for name, mode in sorted(listed))
    for path in paths:
        if task in path.parts and path.is_file():
            with suppress(UnicodeDecodeError):
                text = path.read_text(encoding="utf-8")
                yield f"== {labels[path]}"
                with suppress(ValueError):
                    text = json.dumps(names.json(json.loads(text)), indent=1)
                yield names.text(text)


def log_lines(text: str, names: Names) -> list[str]:
    """Return a server's distinct log lines, sorted: level, message and the names of other fields."""
    lines = (line for line in text.splitlines() if line.startswith("{") and not LUCK.search(line))
    records = (names.json(json.loads(line)) for line in lines)
    return sorted(
        {f"{each['level']} {each['message']} ({', '.join(sorted(each.keys() - COMMON_FIELDS))})" for each in records}
    )


def events(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the recorded events of tasks."""
    for each in records:
        if re.search(r"/(training|preprocess)/[^/]+/events$", each["path"]) and each["status"] == 200:
            yield each["path"]
            for event in each["answer"]["data"]["events"]:
                yield f"  {event['type']}: {event['previous']} -> {event['current']}: {event['message']}"


# -- comparing ---------------------------------------------------------------------------------------------------------


def differences(one: Path, other: Path) -> Iterator[str]:
    """Yield the differences between two recordings."""
    both = (one, other)
    for name in sorted({path.name for directory in both for path in directory.iterdir() if path.is_file()}):
        existing = [directory for directory in both if (directory / name).exists()]
        if len(existing) == 1:
            yield f"{name}: only in {existing[0]}"
            continue
        before, after = ((directory / name).read_text().splitlines() for directory in both)
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
    """Yield the differences between two JSON values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from changes(one.get(key, "<none>"), other.get(key, "<none>"), f"{at}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from changes(*pair, f"{at}/{index}")
    elif one != other:
        yield f"  {at}\n    - {json.dumps(one)[:500]}\n    + {json.dumps(other)[:500]}"


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="record the behaviour of a checkout")
    recording.add_argument("--checkout", type=Path, default=ROOT, help="its directory (default: this checkout)")
    recording.add_argument("--out", type=Path, required=True, help="directory for the recording")
    comparing = commands.add_parser(
        "compare", help="show the differences between two recordings; exit code 1 if there are any"
    )
    comparing.add_argument("one", type=Path)
    comparing.add_argument("other", type=Path)
    given = parser.parse_args()
    if given.command == "record":
        # SIGTERM must run the clean-up, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        record(given.checkout.resolve(), given.out)
        print((given.out / "coverage.txt").read_text(), end="")
        return 0
    found = list(differences(given.one, given.other))
    print("\n".join(found) if found else "no differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
