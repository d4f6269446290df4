"""The steps about GPUs: seen, offered, held, released, remembered."""

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
    """The service says that it lives, and which version it is."""
    tour.head(show_health, "Is it there?")
    answer = tour.ask("/health")
    if answer.error:
        raise DemoError(f"{tour.client.url} answers HTTP {answer.status}: {answer.error.get('detail')}")
    if not isinstance(answer.data, dict) or not {"status", "version", "uptime"} <= answer.data.keys():
        raise DemoError(f"{tour.client.url} answers, but it is not this API: its /health names no version")
    tour.say(f"{answer.data['status']}, version {answer.data['version']}, up for {answer.data['uptime']} s")


def show_gpus(tour: Tour) -> None:
    """Every GPU as of the last sweep; asking costs the GPUs nothing."""
    tour.head(show_gpus, "The GPUs")
    status = tour.ask(f"{BASE}/gpu/status").require()
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
        tour.say("These GPUs are SIMULATED: no such boards are there. Their figures follow the tasks.", "yellow")
    if status["source_problem"]:
        tour.say(f"The source has a problem: {status['source_problem']}", "red")
    named = [gpu for gpu in status["gpus"] if gpu["uuid"]]
    tour.gpu = next((gpu for gpu in named if gpu["is_available"]), named[0] if named else {})
    if not tour.gpu or not tour.gpu["is_available"]:
        tour.say("No GPU is available: nothing is trained, none is held, and those steps are left out.", "yellow")


def show_free(tour: Tour) -> None:
    """Those that are free, fresh and healthy, with enough free memory for the model; most memory first."""
    tour.head(show_free, "Which can train flux?")
    gpus = tour.ask(f"{BASE}/gpu/available?model_type=flux").require()["available_gpus"]
    for gpu in gpus:
        models = f"room for {len(gpu['recommended_for'])} model types"
        tour.say(f"GPU {known(gpu['gpu_id'])}: {known(gpu['memory_free_gb'], ' GB')} free, {models}")
    if not gpus:
        tour.say("None at the moment.", "yellow")


def watch(tour: Tour) -> None:
    """Each sweep arrives as a Server-Sent Event."""
    tour.head(watch, f"Meanwhile, GPU {known(tour.gpu['gpu_id'])} live")
    seen = 0
    for message in tour.events(f"{BASE}/gpu/stream", WATCH_SECONDS):
        for gpu in message["data"]["gpus"]:
            if gpu["uuid"] == tour.gpu["uuid"]:
                seen += 1
                use, heat = known(gpu["utilization_gpu"], " %"), known(gpu["temperature"]["gpu"], " °C")
                tour.say(f"{use:>6} used  {memory(gpu['memory'])}  {heat:>5}  {known(gpu['power_usage'], ' W'):>7}")
    if tour.is_simulated:
        tour.say("It is simulated as if the training were on it.", "dim")
    tour.check(seen > 0, f"readings of this GPU that arrived by themselves: {seen}")


def show_history(tour: Tour) -> None:
    """The service remembers the last day, in eight metrics."""
    tour.head(show_history, "What the GPU did meanwhile")
    told = tour.ask(f"{tour.gpu_path}/history?metric=memory_used&since=1m").require()
    values = [point["value"] for point in told["data"]]
    there = [value for value in values if value is not None]
    if not there:
        tour.say("Nothing is known of the last minute.", "yellow")
        return
    tour.console.print(Text(sparkline(values).lstrip("·")), no_wrap=True, overflow="crop")
    tour.say(f"memory used: {min(there):,.0f} to {max(there):,.0f} {told['unit']}, a point each {told['step']:g} s")


def hold(tour: Tour) -> None:
    """A program that was started elsewhere registers, and with the key a retry is safe. Nothing is started."""
    tour.head(hold, f"Hold GPU {known(tour.gpu['gpu_id'])} for a program of your own")
    # The id is made here and noted before the request: an answer that is lost must not leave the GPU held.
    tour.held, key = f"demo_{uuid.uuid4().hex[:12]}", uuid.uuid4().hex
    body = {"task_id": tour.held, "gpu_ids": [tour.gpu["uuid"]], "task_type": "training", "description": "a demo"}
    answer = tour.ask(TASKS, "POST", body, key)
    if answer.error:
        tour.say(f"{answer.status} {answer.error.get('code')}: {answer.error.get('detail')}", "yellow")
        tour.held = ""
        return
    again = tour.ask(TASKS, "POST", body, key)
    is_one = not again.error and again.data["task_id"] == tour.held
    tour.check(is_one, f"{answer.status}: {tour.held} holds it. Sent again: {again.status}, and still one task.")


def show_conflict(tour: Tour) -> None:
    """Who asks for the same GPU is told who holds it, and what is free. It tells its progress meanwhile."""
    tour.head(show_conflict, "What others see")
    # It has an id of its own, to be released should the GPU have become free meanwhile.
    other = f"{tour.held}_b"
    answer = tour.ask(TASKS, "POST", {"task_id": other, "gpu_ids": [tour.gpu["uuid"]], "task_type": "external"})
    if not answer.error:
        tour.ask(f"{TASKS}/{other}", "DELETE")
    tour.check(answer.status == 409, f"{answer.status} {answer.error.get('code')}: {answer.error.get('detail')}")
    body = {"progress": 42.5, "estimated_remaining_time": 600}
    task = tour.ask(f"{TASKS}/{tour.held}", "PATCH", body).require()
    tour.say(f"{task['task_id']}: {task['progress']} % done, {task['estimated_remaining_time']:.0f} s left")


def release(tour: Tour) -> None:
    """The GPU is draining until its memory is back, and then available."""
    tour.head(release, "Release it")
    tour.ask(f"{TASKS}/{tour.held}", "DELETE").require()
    tour.held = ""
    began, before = time.monotonic(), ""
    while time.monotonic() - began < DRAIN_SECONDS and before != "available":
        status = tour.ask(tour.gpu_path).require()["status"]
        if status != before:
            tour.say(f"after {time.monotonic() - began:.1f} s: {status}", COLOURS.get(status, "blue"))
        before = status
        time.sleep(0.2)


def show_details(tour: Tour) -> None:
    """Health with its reasons, and for every value that is null why it is."""
    tour.head(show_details, "One GPU in full")
    gpu = tour.ask(f"{tour.gpu_path}/details").require()
    clock = gpu["clocks"]["current"]["sm"]
    tour.say(f"{gpu['name']}: {gpu['status']}, P{known(gpu['pstate'])}, SM clock {known(clock, ' MHz')}")
    tour.say("; ".join([f"health: {gpu['health']['verdict']}", *gpu["health"]["reasons"]]))
    tour.say(f"null:   {', '.join(f'{name} ({why})' for name, why in gpu['unavailable'].items()) or 'nothing'}", "dim")


def show_events(tour: Tour) -> None:
    """Changes of status and health, and the errors that the driver reports; newest first."""
    tour.head(show_events, "What happened to the GPUs")
    events = tour.ask(f"{BASE}/gpu/events?limit=5").require()["events"]
    for event in events:
        place = "" if event["gpu_id"] is None else f"GPU {event['gpu_id']}: "
        tour.say(f"{event['timestamp'][11:19]} {event['severity']:8} {place}{event['message']}")
    if not events:
        tour.say("Nothing yet.")


def show_metrics(tour: Tour) -> None:
    """For Prometheus, under the names that the usual Grafana dashboards query."""
    tour.head(show_metrics, "Metrics")
    lines = tour.download("/metrics").decode(errors="replace").splitlines()
    tour.console.print(Text("\n".join(lines[:6])), no_wrap=True, overflow="ellipsis")
    tour.say(f"… {len(lines):,} lines", "dim")


def show_ways_on(tour: Tour) -> None:
    """TRAINING_API.md explains every route with a curl line; the page below lets you try each in a browser."""
    tour.head(show_ways_on, "Where to go next")
    tour.say(f"{tour.client.url}/docs")
