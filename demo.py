"""A guided walk over HTTP: `python demo.py`, or `python demo.py --url http://host:8080` for a server that runs already."""

import argparse
import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

BASE = "/api/v1"
START_SECONDS = 30.0
END_SECONDS = 10.0
ANSWER_SECONDS = 10.0
WATCH_SECONDS = 14.0
DRAIN_SECONDS = 15.0

_BLOCKS = "▁▂▃▄▅▆▇█"
_ADDRESS = re.compile(r"listening on (http://[\w.:\[\]]+)")
_COLOURS = {"available": "green", "draining": "yellow", "lost": "red", "unknown": "red"}


class DemoError(Exception):
    """The walk cannot go on: one line that says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in the service's envelope; `error` is empty for a success."""

    status: int
    data: Any
    error: Mapping[str, Any]


class Server:
    """The service at an address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            self._host = ""
        if parts.scheme not in ("http", "https") or not self._host:
            raise DemoError(f"{url} is not an address such as http://127.0.0.1:8080")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._prefix = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}{self._prefix}"

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request. Raises DemoError when what comes back is not the service's envelope."""
        with self._open(path, method, body, headers or {}) as response:
            text = response.read()
        try:
            told = json.loads(text)
            return Answer(response.status, told["data"], told.get("error") or {})
        except (ValueError, LookupError, TypeError, AttributeError):
            raise DemoError(f"{self.url} answers, but it is not this API: {method} {path} gave no envelope") from None

    def text(self, path: str) -> str:
        """The body of a GET that is no JSON."""
        with self._open(path, "GET", None, {}) as response:
            return response.read().decode(errors="replace")

    def events(self, path: str, seconds: float) -> Iterator[Any]:
        """What a stream of Server-Sent Events brings within a time."""
        until = time.monotonic() + seconds
        with self._open(path, "GET", None, {"Accept": "text/event-stream"}) as response:
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
                if time.monotonic() > until:
                    return

    @contextmanager
    def _open(
        self, path: str, method: str, body: Any, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connect(self._host, self._port, timeout=ANSWER_SECONDS)
        sent = None if body is None else json.dumps(body)
        given = dict(headers) if body is None else {"Content-Type": "application/json", **headers}
        try:
            connection.request(method, self._prefix + path, sent, given)
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"{self.url} cannot be reached: {error or type(error).__name__}") from None
        finally:
            connection.close()


@dataclass(slots=True)
class Tour:
    """The walk so far: where it speaks, whom it asks, what it holds."""

    console: Console
    server: Server
    pause: float
    is_simulated: bool = False
    gpu: Mapping[str, Any] | None = None  #: the GPU that the steps are about
    task_id: str | None = None  #: what has to be released
    steps: int = field(default=0)

    def step(self, title: str, sentence: str, path: str, curl: str = "") -> None:
        """Heads a step: what it is, one sentence, and how to do the same by hand."""
        if self.steps:
            time.sleep(self.pause)
        self.steps += 1
        self.console.print()
        self.console.print(Rule(f"{self.steps}. {title}", align="left"))
        self.console.print(sentence)
        # Never wrapped, so that it can be copied.
        command = f"curl -s {curl + ' ' if curl else ''}'{self.server.url}{path}'"
        self.console.print(Text(f"$ {command}", style="cyan"), soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style))

    @property
    def gpu_path(self) -> str:
        """The address of the GPU that the steps are about."""
        gpu = self.gpu or {}
        return f"{BASE}/gpu/{gpu['gpu_id'] if gpu['gpu_id'] is not None else gpu['uuid']}"

    @property
    def task_path(self) -> str:
        """The address of what is held."""
        return f"{BASE}/gpu/tasks/{self.task_id}"


# -- the steps ---------------------------------------------------------------------------------------------------------


def show_health(tour: Tour) -> None:
    tour.step("Is it there?", "The service says that it lives, and which version it is.", "/health")
    answer = tour.server.ask("/health")
    if answer.status != 200:
        raise DemoError(
            f"{tour.server.url} answers HTTP {answer.status}: {answer.error.get('detail', 'no reason given')}"
        )
    if not isinstance(answer.data, dict) or not {"status", "version", "uptime"} <= answer.data.keys():
        raise DemoError(f"{tour.server.url} answers, but it is not this API: its /health names no version")
    tour.say(f"{answer.data['status']}, version {answer.data['version']}, up for {answer.data['uptime']} s")


def show_gpus(tour: Tour) -> None:
    tour.step(
        "The GPUs", "Every GPU as of the last sweep; any number of requests cost it nothing.", f"{BASE}/gpu/status"
    )
    status = _data(tour.server.ask(f"{BASE}/gpu/status"))
    tour.is_simulated = status["source"] == "simulated"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("GPU", "name", "status"):
        table.add_column(title)
    table.add_column("memory", no_wrap=True)
    for title in ("use", "°C", "W"):
        table.add_column(title, justify="right", no_wrap=True)
    for gpu in status["gpus"]:
        status_text = Text(gpu["status"], style=_COLOURS.get(gpu["status"], "blue"))
        heat = gpu["temperature"]["gpu"]
        table.add_row(
            _known(gpu["gpu_id"]),
            gpu["name"] or "?",
            status_text,
            _memory(gpu["memory"]),
            _known(gpu["utilization_gpu"], " %"),
            _known(heat),
            _known(gpu["power_usage"]),
        )
    tour.console.print(table)
    if tour.is_simulated:
        tour.say(
            "These GPUs are SIMULATED: this server has no NVIDIA library. Their figures follow the tasks.", "yellow"
        )
    if status["source_problem"]:
        tour.say(f"The source has a problem: {status['source_problem']}", "red")
    tour.gpu = next((gpu for gpu in status["gpus"] if gpu["is_available"]), next(iter(status["gpus"]), None))


def show_free(tour: Tour) -> None:
    path = f"{BASE}/gpu/available?model_type=flux"
    tour.step("Which can train flux?", "Free, fresh, healthy, and with enough free memory for the model.", path)
    free = _data(tour.server.ask(path))["available_gpus"]
    for gpu in free:
        others = len(gpu["recommended_for"]) - 1
        tour.say(
            f"GPU {_known(gpu['gpu_id'])}: {_known(gpu['memory_free_gb'], ' GB')} free; {others} other models fit too"
        )
    if not free:
        tour.say("None at the moment.", "yellow")


def hold(tour: Tour) -> None:
    if tour.gpu is None or not tour.gpu["is_available"]:
        tour.say("\nNo GPU is available, so none is held: the steps that need one are left out.", "yellow")
        return
    task_id, key = f"demo_{uuid.uuid4().hex[:12]}", str(uuid.uuid4())
    body = {
        "task_id": task_id,
        "gpu_ids": [tour.gpu["uuid"]],
        "task_type": "training",
        "description": "the guided demo",
    }
    tour.step(
        f"Hold GPU {_known(tour.gpu['gpu_id'])}",
        "A program started elsewhere registers; the key makes a retry safe. Nothing is started on the GPU.",
        f"{BASE}/gpu/tasks",
        f"-X POST -H 'Content-Type: application/json' -H 'Idempotency-Key: {key}' -d '{json.dumps(body)}'",
    )
    # Before the request: an answer that is lost must not leave the GPU held.
    tour.task_id = task_id
    answers = [tour.server.ask(f"{BASE}/gpu/tasks", "POST", body, {"Idempotency-Key": key}) for _ in range(2)]
    if answers[0].status != 201:
        tour.task_id = None
        tour.say(f"Somebody was first ({answers[0].status}): {answers[0].error.get('detail')}", "yellow")
        return
    tour.say(
        f"201: {task_id} holds it. Sent again with the same key: {answers[1].status}, and still one task.", "green"
    )


def show_conflict(tour: Tour) -> None:
    if tour.task_id is None or tour.gpu is None:
        return
    body = {"gpu_ids": [tour.gpu["uuid"]], "task_type": "external"}
    curl = f"-X POST -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    tour.step(
        "What others see", "Who asks for the same GPU is told who has it, and what is free.", f"{BASE}/gpu/tasks", curl
    )
    # An id of its own, so that it can be released should the GPU have become free meanwhile.
    other = f"{tour.task_id}_other"
    answer = tour.server.ask(f"{BASE}/gpu/tasks", "POST", {**body, "task_id": other})
    if answer.status == 201:
        tour.server.ask(f"{BASE}/gpu/tasks/{other}", "DELETE")
        tour.say("201: the GPU was free again; given back at once.", "yellow")
        return
    tour.say(f"{answer.status} {answer.error.get('code')}: {answer.error.get('detail')}")
    for name, value in (answer.data or {}).items():
        tour.say(f"  {name}: {json.dumps(value)}", "dim")


def watch(tour: Tour) -> None:
    if tour.gpu is None:
        return
    tour.step("Watch it live", "Each sweep arrives as a Server-Sent Event.", f"{BASE}/gpu/stream", "-N")
    if tour.task_id is not None:
        about = (
            "a simulated GPU behaves as if it trained" if tour.is_simulated else "holding starts nothing on a real GPU"
        )
        tour.say(f"GPU {_known(tour.gpu['gpu_id'])} for {WATCH_SECONDS:.0f} s; {about}:", "dim")
    for message in tour.server.events(f"{BASE}/gpu/stream", WATCH_SECONDS):
        for gpu in message["data"]["gpus"]:
            if gpu["uuid"] == tour.gpu["uuid"]:
                use, heat = _known(gpu["utilization_gpu"], " %"), _known(gpu["temperature"]["gpu"], " °C")
                tour.say(f"{use:>6} used  {_memory(gpu['memory'])}  {heat:>5}  {_known(gpu['power_usage'], ' W'):>7}")


def report_progress(tour: Tour) -> None:
    if tour.task_id is None:
        return
    body = {"progress": 42.5, "estimated_remaining_time": 600}
    curl = f"-X PATCH -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    tour.step(
        "Tell the progress", "The program says how far it is; everybody sees it in the status.", tour.task_path, curl
    )
    task = _data(tour.server.ask(tour.task_path, "PATCH", body))
    left = _known(task["estimated_remaining_time"], " s")
    tour.say(f"{task['task_id']}: {_known(task['progress'], ' %')} done, {left} left")


def show_details(tour: Tour) -> None:
    if tour.gpu is None:
        return
    path = f"{tour.gpu_path}/details"
    tour.step("One GPU in full", "Health with its reasons, and for every value that is null why it is.", path)
    gpu = _data(tour.server.ask(path))
    health, clocks = gpu["health"], gpu["clocks"]["current"]
    tour.say(f"{gpu['name']}, {gpu['uuid']}")
    tour.say(f"health: {health['verdict']}{''.join(f'; {reason}' for reason in health['reasons'])}")
    tour.say(f"status: {gpu['status']}; P{_known(gpu['pstate'])}, {_known(clocks['sm'], ' MHz')} SM clock")
    tour.say(f"null:   {', '.join(f'{name} ({why})' for name, why in gpu['unavailable'].items()) or 'nothing'}", "dim")


def release(tour: Tour) -> None:
    if tour.task_id is None:
        return
    tour.step(
        "Release it", "The GPU is draining until its memory is back, then available.", tour.task_path, "-X DELETE"
    )
    _data(tour.server.ask(tour.task_path, "DELETE"))
    tour.task_id = None
    until, before, began = time.monotonic() + DRAIN_SECONDS, "", time.monotonic()
    while time.monotonic() < until and before != "available":
        status = _data(tour.server.ask(tour.gpu_path))["status"]
        if status != before:
            tour.say(f"after {time.monotonic() - began:.0f} s: {status}", _COLOURS.get(status, "blue"))
        before = status
        time.sleep(0.5)


def show_history(tour: Tour) -> None:
    if tour.gpu is None:
        return
    path = f"{tour.gpu_path}/history?metric=memory_used&since=2m"
    tour.step("What it did", "A day of history is kept in memory, for eight metrics.", path)
    told = _data(tour.server.ask(path))
    values = [point["value"] for point in told["data"]]
    known = [value for value in values if value is not None]
    if not known:
        tour.say("Nothing is known yet.", "yellow")
        return
    tour.console.print(Text(_sparkline(values)), no_wrap=True, overflow="crop")
    tour.say(
        f"{told['metric']}: {min(known):,.0f} to {max(known):,.0f} {told['unit']}, a point each {told['step']:g} s"
    )


def show_events(tour: Tour) -> None:
    path = f"{BASE}/gpu/events?limit=5"
    tour.step("What happened", "Changes of status and health, and the errors that the driver reports.", path)
    events = _data(tour.server.ask(path))["events"]
    for event in events:
        place = "" if event["gpu_id"] is None else f"GPU {event['gpu_id']}: "
        tour.say(f"{event['timestamp'][11:19]} {event['severity']:8} {place}{event['message']}")
    if not events:
        tour.say("Nothing yet.")


def show_metrics(tour: Tour) -> None:
    tour.step("Metrics", "For Prometheus, under the names that the usual Grafana dashboards query.", "/metrics")
    lines = tour.server.text("/metrics").splitlines()
    for line in lines[:6]:
        tour.console.print(Text(line), no_wrap=True, overflow="ellipsis")
    tour.say(f"… {len(lines):,} lines", "dim")


def show_ways_on(tour: Tour) -> None:
    tour.step(
        "Where to go next", "Every route can be tried in the browser; TRAINING_API.md explains each.", "/openapi.json"
    )
    tour.say(f"{tour.server.url}/docs")


STEPS: Sequence[Callable[[Tour], None]] = (
    show_health, show_gpus, show_free, hold, show_conflict, watch, report_progress,
    show_details, release, show_history, show_events, show_metrics, show_ways_on,
)  # fmt: skip


# -- how values look ---------------------------------------------------------------------------------------------------


def _data(answer: Answer) -> Any:
    if answer.error:
        raise DemoError(f"HTTP {answer.status} {answer.error.get('code')}: {answer.error.get('detail')}")
    return answer.data


def _known(value: Any, unit: str = "") -> str:
    return "?" if value is None else f"{value}{unit}"


def _memory(memory: Mapping[str, Any], width: int = 10) -> str:
    if memory["used"] is None or not memory["total"]:
        return "?"
    filled = round(width * memory["used"] / memory["total"])
    return f"{'█' * filled}{'░' * (width - filled)} {memory['used'] / 1024:5.1f}/{memory['total'] / 1024:.0f} GB"


def _sparkline(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    low, span = min(known), (max(known) - min(known)) or 1.0
    marks = ["·" if value is None else _BLOCKS[int((value - low) / span * (len(_BLOCKS) - 1))] for value in values]
    return "".join(marks).lstrip("·")


# -- around the walk ---------------------------------------------------------------------------------------------------


@contextmanager
def _own_server() -> Iterator[str]:
    """A server of this walk alone, on a free port, that keeps nothing; its address."""
    run = Path(__file__).resolve().with_name("run.py")
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "server.log").open("wb") as log:
        flags = ["--host", "127.0.0.1", "--port", "0", "--storage-root", folder, "--gpu-monitor-interval", "1"]
        process = subprocess.Popen(
            [sys.executable, str(run), *flags, "--log-level", "INFO"],
            cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the walk, which still has to release what it holds
        )  # fmt: skip
        try:
            yield _await_address(process, Path(folder) / "server.log")
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = _ADDRESS.search(log.read_text(errors="replace"))
        if found:
            with suppress(DemoError):
                Server(found[1]).ask("/health")
                return found[1]
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise DemoError(f"the server did not start: {said[-1]}")


def _walk(console: Console, url: str, pause: float) -> None:
    tour = Tour(console, Server(url), pause)
    try:
        for step in STEPS:
            step(tour)
    finally:
        if tour.task_id is not None:
            try:
                tour.server.ask(tour.task_path, "DELETE")
                tour.say(f"\n{tour.task_id} is released.")
            except DemoError as error:
                tour.say(f"\n{tour.task_id} could not be released ({error})", "red")


def main(argv: Sequence[str]) -> int:
    """0 at the end of the walk, 1 when it cannot go on, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(description="A guided walk through the API over HTTP.")
    parser.add_argument("--url", help="a server that runs already; without it one is started, and ended at the end")
    parser.add_argument("--pause", type=float, default=1.0, metavar="SECONDS", help="between two steps (default: 1)")
    arguments = parser.parse_args(argv)
    console = Console(highlight=False)
    pause = min(max(arguments.pause, 0.0), 60.0)
    try:
        if arguments.url:
            _walk(console, arguments.url, pause)
        else:
            with _own_server() as url:
                _walk(console, url, pause)
    except DemoError as error:
        print(f"demo.py: {error}", file=sys.stderr)
        return 1
    except LookupError as error:
        print(f"demo.py: the server answers in a form that this walk does not know: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo.py: ended", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    # Told to end, it still releases what it holds and ends the server that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
