"""The steps about GPUs: status, availability, registration, release and history."""

import time
import uuid

from rich import box
from rich.table import Table
from rich.text import Text

from demo.client import DemoError
from demo.drawing import known, memory, sparkline
from demo.tour import BASE, TASKS, Tour

WATCH_SECONDS = 3.0
DRAIN_SECONDS = 15.0
COLOURS = {"available": "green", "draining": "yellow", "lost": "red", "unknown": "red"}


def show_health(tour: Tour) -> None:
    """Check that the service is up, and show its version."""
    tour.head(show_health, "Health")
    answer = tour.request("/health")
    if answer.error:
        raise DemoError(f"{tour.client.url} answers HTTP {answer.status}: {answer.error.get('detail')}")
    if not isinstance(answer.data, dict) or not {"status", "version", "uptime"} <= answer.data.keys():
        raise DemoError(f"{tour.client.url} is not this API: its /health has no version")
    tour.say(f"{answer.data['status']}, version {answer.data['version']}, up for {answer.data['uptime']} s")


def show_gpus(tour: Tour) -> None:
    """List every GPU as of the last sweep. The request itself does not query the GPUs."""
    tour.head(show_gpus, "GPUs")
    status = tour.request(f"{BASE}/gpu/status").require()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("GPU", "name", "status", "memory", "use", "°C", "W"):
        table.add_column(title, no_wrap=title != "name", justify="right" if title in ("use", "°C", "W") else "left")
    for gpu in status["gpus"]:
        state = Text(gpu["status"], style=COLOURS.get(gpu["status"], "blue"))
        figures = known(gpu["utilization_gpu"], " %"), known(gpu["temperature"]["gpu"]), known(gpu["power_usage"])
        table.add_row(known(gpu["gpu_id"]), Text(gpu["name"] or "?"), state, memory(gpu["memory"]), *figures)
    tour.console.print(table)
    tour.is_simulated = status["source"] == "simulated"
    if tour.is_simulated:
        tour.say("These GPUs are SIMULATED: the boards do not exist, and their values follow the tasks.", "yellow")
    if status["source_problem"]:
        tour.say(f"The source has a problem: {status['source_problem']}", "red")
    identified = [gpu for gpu in status["gpus"] if gpu["uuid"]]
    tour.gpu = next((gpu for gpu in identified if gpu["is_available"]), identified[0] if identified else {})
    if not tour.gpu or not tour.gpu["is_available"]:
        tour.say("No GPU is available: the steps that need a free GPU are skipped.", "yellow")


def show_free(tour: Tour) -> None:
    """List healthy free GPUs with enough memory for a model type, the one with most free memory first."""
    tour.head(show_free, "GPUs that can train flux")
    gpus = tour.request(f"{BASE}/gpu/available?model_type=flux").require()["available_gpus"]
    for gpu in gpus:
        models = f"enough for {len(gpu['recommended_for'])} model types"
        tour.say(f"GPU {known(gpu['gpu_id'])}: {known(gpu['memory_free_gb'], ' GB')} free, {models}")
    if not gpus:
        tour.say("None at the moment.", "yellow")


def watch(tour: Tour) -> None:
    """Receive each sweep as a Server-Sent Event."""
    tour.head(watch, f"GPU {known(tour.gpu['gpu_id'])} live during the training")
    seen = 0
    for message in tour.events(f"{BASE}/gpu/stream", WATCH_SECONDS):
        for gpu in message["data"]["gpus"]:
            if gpu["uuid"] == tour.gpu["uuid"]:
                seen += 1
                use, heat = known(gpu["utilization_gpu"], " %"), known(gpu["temperature"]["gpu"], " °C")
                tour.say(f"{use:>6} used  {memory(gpu['memory'])}  {heat:>5}  {known(gpu['power_usage'], ' W'):>7}")
    if tour.is_simulated:
        tour.say("The simulation acts as if the training used this GPU.", "dim")
    tour.check(seen > 0, f"readings of this GPU received: {seen}")


def show_history(tour: Tour) -> None:
    """Show the history of a metric. The service stores eight metrics for one day."""
    tour.head(show_history, "GPU history")
    history = tour.request(f"{tour.gpu_path}/history?metric=memory_used&since=1m").require()
    values = [point["value"] for point in history["data"]]
    known_values = [value for value in values if value is not None]
    if not known_values:
        tour.say("The last minute has no values.", "yellow")
        return
    tour.console.print(Text(sparkline(values).lstrip("·")), no_wrap=True, overflow="crop")
    low, high = min(known_values), max(known_values)
    tour.say(f"memory used: {low:,.0f} to {high:,.0f} {history['unit']}, one point per {history['step']:g} s")


def hold(tour: Tour) -> None:
    """Register a GPU for a program that runs elsewhere. The idempotency key makes a retry safe; nothing is started."""
    tour.head(hold, f"Reserve GPU {known(tour.gpu['gpu_id'])} for your own program")
    # The client chooses the id and stores it before the request: a lost response must not leave the GPU reserved.
    tour.held, key = f"demo_{uuid.uuid4().hex[:12]}", uuid.uuid4().hex
    body = {"task_id": tour.held, "gpu_ids": [tour.gpu["uuid"]], "task_type": "training", "description": "a demo"}
    answer = tour.request(TASKS, "POST", body, key)
    if answer.error:
        tour.say(f"{answer.status} {answer.error.get('code')}: {answer.error.get('detail')}", "yellow")
        tour.held = ""
        return
    again = tour.request(TASKS, "POST", body, key)
    is_one = not again.error and again.data["task_id"] == tour.held
    tour.check(
        is_one,
        f"{answer.status}: reserved by {tour.held}. The repeated request returned {again.status} and the same task.",
    )


def show_conflict(tour: Tour) -> None:
    """Request the same GPU again: the error names its holder and the free GPUs. Progress is reported meanwhile."""
    tour.head(show_conflict, "What others see")
    # It has its own id, so that it can be released if it succeeds because the GPU became free.
    other = f"{tour.held}_b"
    answer = tour.request(TASKS, "POST", {"task_id": other, "gpu_ids": [tour.gpu["uuid"]], "task_type": "external"})
    if not answer.error:
        tour.request(f"{TASKS}/{other}", "DELETE")
    tour.check(answer.status == 409, f"{answer.status} {answer.error.get('code')}: {answer.error.get('detail')}")
    body = {"progress": 42.5, "estimated_remaining_time": 600}
    task = tour.request(f"{TASKS}/{tour.held}", "PATCH", body).require()
    tour.say(f"{task['task_id']}: {task['progress']} % done, {task['estimated_remaining_time']:.0f} s left")


def release(tour: Tour) -> None:
    """Release the GPU: it is draining until its memory is free, then available."""
    tour.head(release, "Release the GPU")
    tour.request(f"{TASKS}/{tour.held}", "DELETE").require()
    tour.held = ""
    started, before = time.monotonic(), ""
    while time.monotonic() - started < DRAIN_SECONDS and before != "available":
        status = tour.request(tour.gpu_path).require()["status"]
        if status != before:
            tour.say(f"after {time.monotonic() - started:.1f} s: {status}", COLOURS.get(status, "blue"))
        before = status
        time.sleep(0.2)


def show_details(tour: Tour) -> None:
    """Show health with its reasons, and the reason for every missing value."""
    tour.head(show_details, "GPU details")
    gpu = tour.request(f"{tour.gpu_path}/details").require()
    clock = gpu["clocks"]["current"]["sm"]
    tour.say(f"{gpu['name']}: {gpu['status']}, P{known(gpu['pstate'])}, SM clock {known(clock, ' MHz')}")
    tour.say("; ".join([f"health: {gpu['health']['verdict']}", *gpu["health"]["reasons"]]))
    tour.say(f"null:   {', '.join(f'{name} ({why})' for name, why in gpu['unavailable'].items()) or 'nothing'}", "dim")


def show_events(tour: Tour) -> None:
    """List changes of status and health, and the driver's errors, newest first."""
    tour.head(show_events, "GPU events")
    events = tour.request(f"{BASE}/gpu/events?limit=5").require()["events"]
    for event in events:
        prefix = "" if event["gpu_id"] is None else f"GPU {event['gpu_id']}: "
        tour.say(f"{event['timestamp'][11:19]} {event['severity']:8} {prefix}{event['message']}")
    if not events:
        tour.say("No events yet.")


def show_metrics(tour: Tour) -> None:
    """Download the metrics for Prometheus, under the names that common Grafana dashboards query."""
    tour.head(show_metrics, "Metrics")
    lines = tour.download("/metrics").decode(errors="replace").splitlines()
    tour.console.print(Text("\n".join(lines[:6])), no_wrap=True, overflow="ellipsis")
    tour.say(f"… {len(lines):,} lines", "dim")


def show_next_steps(tour: Tour) -> None:
    """Continue with docs/index.md, which has a guide for every task, or try the routes in a browser."""
    tour.head(show_next_steps, "Where to go next")
    tour.say(f"{tour.client.url}/docs")
