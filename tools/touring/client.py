"""Sends the requests of a tour's script and records the responses."""

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

#: Seconds after which waiting fails.
PATIENCE = 180.0

#: Paths that are not below BASE.
OUTSIDE = re.compile(r"/(api/|health|metrics|openapi|docs|dashboard|$)")

#: Paths whose responses are readings: their numbers are not compared.
READINGS = re.compile(
    r"/api/v1/(gpu/(status|summary|available|stream|(?!tasks)[\w:]+$|\w+/(details|history|processes))|"
    r"system/(overview|logs)|auth/audit/)"
)

#: Headers that are not recorded, and headers of which only the presence is recorded.
IGNORED = ("date", "x-request-id", "sec-websocket-accept", "x-ratelimit-reset")
PRESENT = ("content-length", "etag", "age", "last-modified", "retry-after")


class Tour:
    """Requests to one server with its responses."""

    def __init__(self, section: str, address: str, names: Names, variables: dict[str, str]) -> None:
        self.client = httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False)
        self.names, self.variables, self.section = names, variables, section
        self.files: Mapping[str, bytes] = {}
        self.gate, self.reached = threading.Event(), threading.Event()
        self.run: Callable[[str], None] = lambda words: None
        #: Called with each response and the body of its request.
        self.observe: Callable[[httpx.Response, Any], None] = lambda answer, body: None
        self.key = variables["admin"]
        self.records: list[dict[str, Any]] = []
        self.metrics: set[str] = set()
        self._steps = Counter[str]()

    def play(self, line: str) -> None:
        """Execute a line of the script."""
        line, _, keep = line.partition(" keep ")
        line, _, headers = line.partition(" with ")
        verb, _, rest = line.partition(" ")
        paths, body = re.fullmatch(r"(.*?)(?: (\{.*|@\w+))?", rest).groups()
        match verb:
            case "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" | "PATCH" | "DELETE" | "FORM":
                given = json.loads(self._fill(headers or "{}"))
                for path in paths.split(" "):
                    self.request(verb, self._fill(path), f"{verb} {path}", self._body(body), given, keep)
            case "SSE" | "WS":
                count, *streams = paths.split(" ")
                for path in streams:
                    (self.listen if verb == "SSE" else self.connect)(self._fill(path), int(count), f"{verb} {path}")
            case _:
                self._execute(verb, rest)

    def _execute(self, verb: str, rest: str) -> None:
        """Execute a line that records nothing."""
        match verb:
            case "=":
                self.section = rest
            case "AS":
                self.key = self.variables[rest]
            case "LOOSE":
                self.names.loosen(self.variables[rest])
            case "SHUT":
                self.gate.clear()
                self.reached.clear()
            case "REACH":
                if not self.reached.wait(PATIENCE):
                    raise TimeoutError("no request has reached the hub's gate")
            case "OPEN":
                self.gate.set()
            case "RUN":
                self.run(self._fill(rest))
            case "WAIT":
                self.wait(*self._fill(rest).split(" "))
            case _:
                raise ValueError(f"{verb} is no verb of the script")

    def request(
        self, verb: str, path: str, step: str, body: Any = None, headers: dict[str, str] | None = None, keep: str = ""
    ) -> None:
        """Send a request and record the response."""
        how = {"json": body} if isinstance(body, dict) else {} if body is None else {"content": body}
        method = verb
        if verb == "FORM":
            method, files = "POST", {name: value for name, value in body.items() if value in self.files}
            how = {"data": {name: value for name, value in body.items() if name not in files}}
            how["files"] = {name: (value, self.files[value]) for name, value in files.items()}
        answer = self.client.request(method, below(path), headers=self.authorization() | (headers or {}), **how)
        self._keep(answer, keep)
        self.observe(answer, body)
        self._record(step, method, path, answer, self._read(path, answer), body)

    def listen(self, path: str, count: int, step: str) -> None:
        """Record the first events of a stream."""
        with self.client.stream("GET", below(path), headers=self.authorization()) as answer:
            if answer.status_code != 200:
                answer.read()
                recorded = self._read(path, answer)
            else:
                lines = (line for line in answer.iter_lines() if line.startswith("data:")) if count else iter(())
                messages = [json.loads(line[5:]) for _, line in zip(range(count), lines, strict=False)]
                recorded = self._messages(path, messages)
            self._record(step, "GET", path, answer, recorded)

    def connect(self, path: str, count: int, step: str) -> None:
        """Record the first messages of a WebSocket."""
        address = str(self.client.base_url.join(below(path))).replace("http", "ws", 1)
        messages: list[Any] = []
        try:
            with connect(address, additional_headers=self.authorization(), proxy=None) as socket:
                answer = socket.response
                with suppress(ConnectionClosed):
                    for _ in range(count):
                        messages.append(json.loads(socket.recv(PATIENCE)) | {"id": None})
        except InvalidStatus as refusal:
            answer = refusal.response
            messages = [json.loads(answer.body)]
        self._record(step, "GET", path, answer, self._messages(path, messages))

    def wait(self, path: str, wanted: str) -> None:
        """Poll until a field has one of some values. The field `!` is the HTTP status of the response."""
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
        """Return the headers with the key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _record(self, step: str, method: str, path: str, answer: Any, recorded: Any, body: Any = None) -> None:
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
                "request": self.names.json("<bytes>" if isinstance(body, bytes) else body),
                "status": answer.status_code,
                "headers": headers,
                "answer": recorded,
            }
        )

    def _read(self, path: str, answer: httpx.Response) -> Any:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind == "application/json" and answer.content and path != "/openapi.json":
            content = answer.json()
            self.names.learn(content)
            if answer.status_code in (201, 202) and "status" in content["data"]:
                # The progress of a new task depends on timing.
                content["data"] = sorted(content["data"])
            is_reading = answer.status_code < 400 and READINGS.match(below(path)) is not None
            return self.names.json(content, loose=is_reading or self.names.is_loose(path))
        if path.partition("?")[0].endswith("/metrics"):
            self.metrics |= set(measures(answer.text))
        elif kind == "text/plain" or path.endswith("/logs/download"):
            return self.names.text(answer.text)
        elif answer.content and kind not in ("text/html", "application/json"):
            return f"<{hashlib.sha256(answer.content).hexdigest()[:16]}>"
        return "<text>" if answer.content else None

    def _messages(self, path: str, messages: list[Any]) -> list[Any]:
        return self.names.json(messages, loose="gpu" in path)

    def _fill(self, text: str) -> str:
        return Template(text).safe_substitute(self.variables)

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
            self.variables[name] = value.replace('"', '\\"')


def below(path: str) -> str:
    """Return the full path of a path of the script."""
    return path if OUTSIDE.match(path) else BASE + path


def measures(text: str) -> Iterator[str]:
    """Yield the series of a Prometheus exposition without their values."""
    for line in text.splitlines():
        if line.startswith("# "):
            yield line
        elif found := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            labels = re.findall(r"(\w+)=", found[2] or "")
            yield f"{found[1]}{{{','.join(labels)}}}"
