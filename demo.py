"""A guided walk over HTTP: `python demo.py`, or with `--url http://host:8080` at a server that runs already."""

import argparse
import http.client
import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

BASE = "/api/v1"
TASKS = f"{BASE}/gpu/tasks"
START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
WATCH_SECONDS = 14.0
DRAIN_SECONDS = 15.0
ADDRESS = re.compile(r"listening on (http://[\w.:\[\]]+)")
BLOCKS = "▁▂▃▄▅▆▇█"
COLOURS = {"available": "green", "draining": "yellow", "lost": "red", "unknown": "red"}


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
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DemoError(f"{url} is not an address such as http://127.0.0.1:8080")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._netloc, self._prefix = parts.netloc, parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{self._netloc}{self._prefix}"

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request. Raises DemoError when what comes back is not the service's envelope."""
        try:
            with self._open(path, method, body, headers or {}) as response:
                told = json.loads(response.read())
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
            if response.status != 200:
                raise DemoError(f"HTTP {response.status}: {self.url} offers no stream at the moment")
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
                if time.monotonic() > until:
                    return

    @contextmanager
    def _open(self, path: str, method: str, body: Any, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        sent = None if body is None else json.dumps(body)
        given = dict(headers) if body is None else {"Content-Type": "application/json", **headers}
        try:
            with closing(self._connect(self._netloc, timeout=ANSWER_SECONDS)) as connection:
                connection.request(method, self._prefix + path, sent, given)
                yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"{self.url} cannot be reached: {str(error) or type(error).__name__}") from None


@dataclass(slots=True)
class Tour:
    """The walk so far: where it speaks, whom it asks, what it holds."""

    console: Console
    server: Server
    pause: float
    steps: int = 0
    is_simulated: bool = False
    gpu: Mapping[str, Any] = field(default_factory=dict)  #: the one that the steps are about; empty without any
    task_id: str = ""  #: what has to be released
    gpu_path: str = ""  #: the address of that GPU

    def head(self, step: "Step", title: str, path: str, options: str = "") -> None:
        """Heads a step: its docstring explains it, the command does the same by hand."""
        if self.steps:
            time.sleep(self.pause)
        self.steps += 1
        self.console.print("", Rule(f"{self.steps}. {title}", align="left"), step.__doc__, sep="\n")
        # Never wrapped, so that it can be copied.
        self.console.print(Text(f"$ curl -s {options}'{self.server.url}{path}'", style="cyan"), soft_wrap=True)

    def ask(self, step: "Step", title: str, path: str, method: str = "GET", body: Any = None, key: str = "") -> Answer:
        """Heads a step and sends its request."""
        options = "" if method == "GET" else f"-X {method} "
        options += f"-H 'Idempotency-Key: {key}' " if key else ""
        options += "" if body is None else f"-H 'Content-Type: application/json' -d '{json.dumps(body)}' "
        self.head(step, title, path, options)
        return self.server.ask(path, method, body, {"Idempotency-Key": key} if key else None)

    def say(self, text: str, style: str = "") -> None:
        """One line; never read as markup, since servers write parts of it."""
        self.console.print(Text(text, style=style))


Step = Callable[[Tour], None]


def show_health(tour: Tour) -> None:
    """The service says that it lives, and which version it is."""
    answer = tour.server.ask("/health")
    if answer.error:
        raise DemoError(f"{tour.server.url} answers HTTP {answer.status}: {answer.error.get('detail')}")
    if not isinstance(answer.data, dict) or not {"status", "version", "uptime"} <= answer.data.keys():
        raise DemoError(f"{tour.server.url} answers, but it is not this API: its /health names no version")
    tour.head(show_health, "Is it there?", "/health")
    tour.say(f"{answer.data['status']}, version {answer.data['version']}, up for {answer.data['uptime']} s")


def show_gpus(tour: Tour) -> None:
    """Every GPU as of the last sweep; asking costs the GPUs nothing."""
    status = _data(tour.ask(show_gpus, "The GPUs", f"{BASE}/gpu/status"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("GPU", "name", "status", "memory", "use", "°C", "W"):
        table.add_column(title, no_wrap=title != "name", justify="right" if title in ("use", "°C", "W") else "left")
    for gpu in status["gpus"]:
        state = Text(gpu["status"], style=COLOURS.get(gpu["status"], "blue"))
        figures = _known(gpu["utilization_gpu"], " %"), _known(gpu["temperature"]["gpu"]), _known(gpu["power_usage"])
        table.add_row(_known(gpu["gpu_id"]), Text(gpu["name"] or "?"), state, _memory(gpu["memory"]), *figures)
    tour.console.print(table)
    tour.is_simulated = status["source"] == "simulated"
    if tour.is_simulated:
        tour.say("These GPUs are SIMULATED: no such boards are there. Their figures follow the tasks.", "yellow")
    if status["source_problem"]:
        tour.say(f"The source has a problem: {status['source_problem']}", "red")
    named = [gpu for gpu in status["gpus"] if gpu["uuid"]]
    tour.gpu = next((gpu for gpu in named if gpu["is_available"]), named[0] if named else {})
    tour.gpu_path = f"{BASE}/gpu/{tour.gpu.get('uuid')}"


def show_free(tour: Tour) -> None:
    """Those that are free, fresh and healthy, with enough free memory for the model; most memory first."""
    answer = tour.ask(show_free, "Which can train flux?", f"{BASE}/gpu/available?model_type=flux")
    for gpu in _data(answer)["available_gpus"]:
        models = f"room for {len(gpu['recommended_for'])} model types"
        tour.say(f"GPU {_known(gpu['gpu_id'])}: {_known(gpu['memory_free_gb'], ' GB')} free, {models}")
    if not answer.data["available_gpus"]:
        tour.say("None at the moment.", "yellow")


def hold(tour: Tour) -> None:
    """A program that was started elsewhere registers, and with the key a retry is safe. Nothing is started."""
    if not tour.gpu or not tour.gpu["is_available"]:
        tour.say("\nNo GPU is available, so none is held; the steps that need one are left out.", "yellow")
        return
    # The id is made here and noted before the request: an answer that is lost must not leave the GPU held.
    tour.task_id, key = f"demo_{uuid.uuid4().hex[:12]}", uuid.uuid4().hex
    body = {"task_id": tour.task_id, "gpu_ids": [tour.gpu["uuid"]], "task_type": "training", "description": "a demo"}
    answer = tour.ask(hold, f"Hold GPU {_known(tour.gpu['gpu_id'])}", TASKS, "POST", body, key)
    if answer.error:
        tour.say(f"{answer.status} {answer.error.get('code')}: {answer.error.get('detail')}", "yellow")
        tour.task_id = ""
        return
    again = tour.server.ask(TASKS, "POST", body, {"Idempotency-Key": key})
    tour.say(f"{answer.status}: {tour.task_id} holds it. Sent again: {again.status}, and still one task.", "green")


def show_conflict(tour: Tour) -> None:
    """Who asks for the same GPU is told who holds it, and what is free."""
    # It has an id of its own, to be released should the GPU have become free meanwhile.
    body = {"task_id": f"{tour.task_id}_b", "gpu_ids": [tour.gpu["uuid"]], "task_type": "external"}
    answer = tour.ask(show_conflict, "What others see", TASKS, "POST", body)
    if not answer.error:
        tour.server.ask(f"{TASKS}/{tour.task_id}_b", "DELETE")
        tour.say("The GPU was free again; it is given back at once.", "yellow")
        return
    tour.say(f"{answer.status} {answer.error.get('code')}: {answer.error.get('detail')}")
    for name, value in (answer.data or {}).items():
        tour.say(f"  {name}: {json.dumps(value)}", "dim")


def watch(tour: Tour) -> None:
    """Each sweep arrives as a Server-Sent Event."""
    tour.head(watch, f"Watch GPU {_known(tour.gpu['gpu_id'])} live", f"{BASE}/gpu/stream", "-N ")
    if tour.task_id:
        about = "It is simulated as if it trained." if tour.is_simulated else "Holding it has started nothing."
        tour.say(f"For {WATCH_SECONDS:.0f} s. {about}", "dim")
    for message in tour.server.events(f"{BASE}/gpu/stream", WATCH_SECONDS):
        for gpu in message["data"]["gpus"]:
            if gpu["uuid"] == tour.gpu["uuid"]:
                use, heat = _known(gpu["utilization_gpu"], " %"), _known(gpu["temperature"]["gpu"], " °C")
                tour.say(f"{use:>6} used  {_memory(gpu['memory'])}  {heat:>5}  {_known(gpu['power_usage'], ' W'):>7}")


def report_progress(tour: Tour) -> None:
    """The program says how far it is; everybody sees it in the status of the GPU."""
    body = {"progress": 42.5, "estimated_remaining_time": 600}
    task = _data(tour.ask(report_progress, "Tell the progress", f"{TASKS}/{tour.task_id}", "PATCH", body))
    tour.say(f"{task['task_id']}: {task['progress']} % done, {task['estimated_remaining_time']} s left")


def show_details(tour: Tour) -> None:
    """Health with its reasons, and for every value that is null why it is."""
    gpu = _data(tour.ask(show_details, "One GPU in full", f"{tour.gpu_path}/details"))
    clocks = gpu["clocks"]["current"]
    tour.say(f"{gpu['name']}: {gpu['status']}, P{_known(gpu['pstate'])}, SM clock {_known(clocks['sm'], ' MHz')}")
    tour.say("; ".join([f"health: {gpu['health']['verdict']}", *gpu["health"]["reasons"]]))
    tour.say(f"null:   {', '.join(f'{name} ({why})' for name, why in gpu['unavailable'].items()) or 'nothing'}", "dim")


def release(tour: Tour) -> None:
    """The GPU is draining until its memory is back, and then available."""
    _data(tour.ask(release, "Release it", f"{TASKS}/{tour.task_id}", "DELETE"))
    tour.task_id = ""
    began, before = time.monotonic(), ""
    while time.monotonic() - began < DRAIN_SECONDS and before != "available":
        status = _data(tour.server.ask(tour.gpu_path))["status"]
        if status != before:
            tour.say(f"after {time.monotonic() - began:.1f} s: {status}", COLOURS.get(status, "blue"))
        before = status
        time.sleep(0.2)


def show_history(tour: Tour) -> None:
    """The service remembers the last day, in eight metrics."""
    told = _data(tour.ask(show_history, "What it did", f"{tour.gpu_path}/history?metric=memory_used&since=1m"))
    values = [point["value"] for point in told["data"]]
    known = [value for value in values if value is not None]
    if not known:
        tour.say("Nothing is known of the last minute.", "yellow")
        return
    tour.console.print(Text(_sparkline(values)), no_wrap=True, overflow="crop")
    tour.say(f"memory used: {min(known):,.0f} to {max(known):,.0f} {told['unit']}, a point each {told['step']:g} s")


def show_events(tour: Tour) -> None:
    """Changes of status and health, and the errors that the driver reports; newest first."""
    events = _data(tour.ask(show_events, "What happened", f"{BASE}/gpu/events?limit=5"))["events"]
    for event in events:
        place = "" if event["gpu_id"] is None else f"GPU {event['gpu_id']}: "
        tour.say(f"{event['timestamp'][11:19]} {event['severity']:8} {place}{event['message']}")
    if not events:
        tour.say("Nothing yet.")


def show_metrics(tour: Tour) -> None:
    """For Prometheus, under the names that the usual Grafana dashboards query."""
    tour.head(show_metrics, "Metrics", "/metrics")
    lines = tour.server.text("/metrics").splitlines()
    tour.console.print(Text("\n".join(lines[:6])), no_wrap=True, overflow="ellipsis")
    tour.say(f"… {len(lines):,} lines", "dim")


def show_ways_on(tour: Tour) -> None:
    """TRAINING_API.md explains every route with a curl line; the page below lets you try each in a browser."""
    tour.head(show_ways_on, "Where to go next", "/openapi.json")
    tour.say(f"{tour.server.url}/docs")


STEPS: Sequence[Step] = (
    *(show_health, show_gpus, show_free, hold, show_conflict, watch, report_progress),
    *(show_details, release, show_history, show_events, show_metrics, show_ways_on),
)
NEED_A_GPU = (watch, show_details, show_history)
NEED_A_TASK = (show_conflict, report_progress, release)


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
    marks = ["·" if value is None else BLOCKS[int((value - low) / span * (len(BLOCKS) - 1))] for value in values]
    return "".join(marks).lstrip("·")


@contextmanager
def _own_server() -> Iterator[str]:
    """A server of this walk alone, on a free port, that keeps nothing; its address."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "server.log").open("wb") as log:
        command = [sys.executable, str(Path(__file__).resolve().with_name("run.py")), "--host", "127.0.0.1"]
        command += ["--port", "0", "--storage-root", folder, "--gpu-monitor-interval", "1", "--log-level", "INFO"]
        # In a session of its own: Ctrl-C is for the walk, which still has to release what it holds.
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        try:
            yield _await_address(process, Path(folder) / "server.log")
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(ANSWER_SECONDS)
            process.kill()  # no signal is sent to one that has ended
            process.wait()


def _await_address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = ADDRESS.search(log.read_text(errors="replace"))
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
            if (tour.gpu or step not in NEED_A_GPU) and (tour.task_id or step not in NEED_A_TASK):
                step(tour)
    finally:
        if tour.task_id:
            _release_at_last(tour)


def _release_at_last(tour: Tour) -> None:
    try:
        answer = tour.server.ask(f"{TASKS}/{tour.task_id}", "DELETE")
        problem = str(answer.error.get("detail", "")) if answer.status != 404 else ""
    except DemoError as error:
        problem = str(error)
    tour.say(f"\n{tour.task_id} could not be released: {problem}" if problem else f"\n{tour.task_id} is released.")


def main(argv: Sequence[str]) -> int:
    """0 at the end of the walk, 1 when it cannot go on, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(description="A guided walk through the API over HTTP.")
    parser.add_argument("--url", help="a server that runs already; without it one is started, and ended at the end")
    parser.add_argument("--pause", type=float, default=1.0, metavar="SECONDS", help="between two steps (default: 1)")
    arguments = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no bars still shows the figures
    pause = min(max(arguments.pause, 0.0), 60.0)
    try:
        with nullcontext(arguments.url) if arguments.url else _own_server() as url:
            _walk(Console(highlight=False), url, pause)
    except (DemoError, LookupError, ValueError) as error:
        why = str(error) if isinstance(error, DemoError) else f"an answer has another form than expected: {error!r}"
        print(f"demo.py: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo.py: ended", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    # Told to end, it still releases what it holds and ends the server that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
