"""The requests of a tour, as the lines of its script say, and what is recorded of each answer."""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from string import Template
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from touring.names import Names, field_of

BASE = "/api/v1"

#: Seconds after which something that is waited for does not come any more.
PATIENCE = 180.0

#: What does not lie below the base.
OUTSIDE = re.compile(r"/(api/|health|metrics|openapi|docs|dashboard|$)")

#: Addresses whose answers are readings: no figure in them counts.
READINGS = re.compile(
    r"/api/v1/(gpu/(status|summary|available|stream|(?!tasks)[\w:]+$|\w+/(details|history|processes))|"
    r"system/(overview|logs)|auth/audit/)"
)

#: Headers that say nothing of the answer, and those of which only counts that they are there.
IGNORED = ("date", "x-request-id", "sec-websocket-accept", "x-ratelimit-reset")
PRESENT = ("content-length", "etag", "age", "last-modified", "retry-after")


class Tour:
    """Requests to one server, and what it answered."""

    def __init__(self, section: str, address: str, names: Names, kept: dict[str, str]) -> None:
        self.client = httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False)
        self.names, self.kept, self.section = names, kept, section
        self.files: Mapping[str, bytes] = {}
        self.gate, self.reached = threading.Event(), threading.Event()
        self.run: Callable[[str], None] = lambda words: None
        self.key = kept["admin"]
        self.records: list[dict[str, Any]] = []
        self.metrics: set[str] = set()
        self._steps = Counter[str]()

    def play(self, line: str) -> None:
        """Do what a line of the script says."""
        line, _, keep = line.partition(" keep ")
        line, _, headers = line.partition(" with ")
        verb, _, rest = line.partition(" ")
        places, body = re.fullmatch(r"(.*?)(?: (\{.*|@\w+))?", rest).groups()
        match verb:
            case "GET" | "HEAD" | "OPTIONS" | "POST" | "PATCH" | "DELETE" | "FORM":
                given = json.loads(self._fill(headers or "{}"))
                for path in places.split(" "):
                    self.ask(verb, self._fill(path), f"{verb} {path}", self._body(body), given, keep)
            case "SSE" | "WS":
                count, *paths = places.split(" ")
                for path in paths:
                    (self.listen if verb == "SSE" else self.connect)(self._fill(path), int(count), f"{verb} {path}")
            case _:
                self._ready(verb, rest)

    def _ready(self, verb: str, rest: str) -> None:
        """Do what is not recorded."""
        match verb:
            case "=":
                self.section = rest
            case "AS":
                self.key = self.kept[rest]
            case "LOOSE":
                self.names.loosen(self.kept[rest])
            case "SHUT":
                self.gate.clear()
                self.reached.clear()
            case "REACH":
                if not self.reached.wait(PATIENCE):
                    raise TimeoutError("nobody comes to the gate of the hub")
            case "OPEN":
                self.gate.set()
            case "RUN":
                self.run(self._fill(rest))
            case "WAIT":
                self.wait(*self._fill(rest).split(" "))
            case _:
                raise ValueError(f"{verb} is no verb of the script")

    def ask(
        self, verb: str, path: str, step: str, body: Any = None, headers: dict[str, str] | None = None, keep: str = ""
    ) -> None:
        """Make a request and record its answer."""
        how = {"json": body} if isinstance(body, dict) else {} if body is None else {"content": body}
        method = verb
        if verb == "FORM":
            method, files = "POST", {name: value for name, value in body.items() if value in self.files}
            how = {"data": {name: value for name, value in body.items() if name not in files}}
            how["files"] = {name: (value, self.files[value]) for name, value in files.items()}
        answer = self.client.request(method, below(path), headers=self.authorization() | (headers or {}), **how)
        self._keep(answer, keep)
        self._record(step, method, path, answer, self._read(path, answer), body)

    def listen(self, path: str, count: int, step: str) -> None:
        """Record the first events of a stream."""
        with self.client.stream("GET", below(path), headers=self.authorization()) as answer:
            if answer.status_code != 200:
                answer.read()
                said = self._read(path, answer)
            else:
                lines = (line for line in answer.iter_lines() if line.startswith("data:")) if count else iter(())
                said = self._told(path, [json.loads(line[5:]) for _, line in zip(range(count), lines, strict=False)])
            self._record(step, "GET", path, answer, said)

    def connect(self, path: str, count: int, step: str) -> None:
        """Record the first messages of a WebSocket."""
        address = str(self.client.base_url.join(below(path))).replace("http", "ws", 1)
        said: list[Any] = []
        try:
            with connect(address, additional_headers=self.authorization(), proxy=None) as socket:
                answer = socket.response
                with suppress(ConnectionClosed):
                    for _ in range(count):
                        said.append(json.loads(socket.recv(PATIENCE)) | {"id": None})
        except InvalidStatus as refusal:
            answer = refusal.response
            said = [json.loads(answer.body)]
        self._record(step, "GET", path, answer, self._told(path, said))

    def wait(self, path: str, wanted: str) -> None:
        """Ask until a field has one of some values; as the field ! stands for the status of the answer."""
        field, _, values = wanted.partition("=")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self.client.get(below(path), headers=self.authorization())
            found = answer.status_code if field == "!" else field_of(answer.json()["data"], field)
            if str(found) in values.split("|"):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"{path}: {field} is {found!r} and never {values}: {answer.text[:3000]}")
            time.sleep(0.05)

    def authorization(self) -> dict[str, str]:
        """Return the headers that show the key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _record(self, step: str, method: str, path: str, answer: Any, said: Any, asked: Any = None) -> None:
        step = f"{self.section}: {step}"
        self._steps[step] += 1
        headers = {
            name.lower(): "<any>" if name.lower() in PRESENT else self.names.text(value)
            for name, value in sorted(answer.headers.items())
            if name.lower() not in IGNORED
        }
        self.records.append(
            {
                "step": step if self._steps[step] == 1 else f"{step} ({self._steps[step]})",
                "method": method,
                "path": self.names.text(below(path)),
                "request": self.names.json("<bytes>" if isinstance(asked, bytes) else asked),
                "status": answer.status_code,
                "headers": headers,
                "answer": said,
            }
        )

    def _read(self, path: str, answer: httpx.Response) -> Any:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind == "application/json" and answer.content and path != "/openapi.json":
            said = answer.json()
            self.names.learn(said)
            if answer.status_code in (201, 202) and "status" in said["data"]:
                # How far a task is already is a matter of luck.
                said["data"] = sorted(said["data"])
            is_reading = answer.status_code < 400 and READINGS.match(below(path)) is not None
            return self.names.json(said, loose=is_reading or self.names.is_loose(path))
        if path.partition("?")[0].endswith("/metrics"):
            self.metrics |= set(measures(answer.text))
        elif kind == "text/plain" or path.endswith("/logs/download"):
            return self.names.text(answer.text)
        elif answer.content and kind not in ("text/html", "application/json"):
            return f"<{hashlib.sha256(answer.content).hexdigest()[:16]}>"
        return "<text>" if answer.content else None

    def _told(self, path: str, said: list[Any]) -> list[Any]:
        loose = "gpu" in path
        return self.names.json(said, loose=loose)

    def _fill(self, text: str) -> str:
        return Template(text).safe_substitute(self.kept)

    def _body(self, body: str | None) -> Any:
        if body is None:
            return None
        return self.files[body[1:]] if body.startswith("@") else json.loads(self._fill(body))

    def _keep(self, answer: httpx.Response, keep: str) -> None:
        for name, _, field in (each.partition("=") for each in keep.split()):
            is_header = field.startswith("@")
            value = answer.headers[field[1:]] if is_header else str(field_of(answer.json()["data"], field))
            if name.startswith("random"):
                self.names.name(name, value)
            self.kept[name] = value.replace('"', '\\"')


def below(path: str) -> str:
    """Return the address that a path of the script means."""
    return path if OUTSIDE.match(path) else BASE + path


def measures(text: str) -> Iterator[str]:
    """Tell what a text for Prometheus measures, without the values."""
    for line in text.splitlines():
        if line.startswith("# "):
            yield line
        elif found := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            labels = re.findall(r"(\w+)=", found[2] or "")
            yield f"{found[1]}{{{','.join(labels)}}}"
