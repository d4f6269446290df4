"""The steps about a training: plan, start, follow, stop, resume, and its files. The model really trains."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from rich import box
from rich.table import Table
from rich.text import Text

from demo.client import DemoError
from demo.drawing import bar, changing_line, known, means, picture, shades, sparkline
from demo.tour import TRAINING, Tour

EPOCHS, STEPS_PER_EPOCH, STEP_SECONDS = 4, 50, 0.06
STEPS = EPOCHS * STEPS_PER_EPOCH

#: Percent of the training after which the tour continues with the next step.
FAR_ENOUGH = 30.0

#: Maximum seconds for a part of the training, and for a stop.
TRAINING_SECONDS = 60.0
STOP_SECONDS = 30.0

ACTIVE = ("queued", "starting", "running", "stopping")
POLL_SECONDS = 0.2
POLLS_A_SECOND = 5
CURVE_WIDTH = 60
LEAST_LOSS = 1e-9


def _request(tour: Tour) -> dict[str, Any]:
    toy = {"steps_per_epoch": STEPS_PER_EPOCH, "step_seconds": STEP_SECONDS}
    config = {"epochs": EPOCHS, "toy": toy}
    return {"model_type": "toy", "name": tour.name, "gpu_ids": [tour.gpu["uuid"]], "queue": False, "config": config}


def validate(tour: Tour) -> None:
    """Validate a request and show its errors and plan. `toy` is a tiny diffusion model that trains on the CPU."""
    tour.head(validate, "Plan a training")
    result = tour.request(f"{TRAINING}/validate", "POST", _request(tour)).require()
    for finding in result["errors"]:
        tour.say(f"{finding['pointer']}: {finding['message']} {finding['remedy'] or ''}", "red")
    plan, gpus = result["plan"] or {}, result["gpus"] or {}
    steps, total = known(plan.get("steps_per_epoch")), known(plan.get("total_steps"))
    tour.say(
        f"{known(plan.get('epochs'))} epochs of {steps} steps: {total} steps on {known(plan.get('gpu_count'))} GPU"
    )
    tour.say(f"it would start now on GPU {', '.join(map(str, gpus.get('gpu_ids') or ['?']))}")
    for name, text in (plan.get("files") or {}).items():
        tour.say(f"the trainer would read {name}:", "dim")
        tour.say("".join(f"  {line}\n" for line in text.splitlines() if line).rstrip(), "dim")
    tour.check(result["valid"] and plan.get("total_steps") == STEPS, f"the request is valid and has {STEPS} steps")


def start(tour: Tour) -> None:
    """Start the training. `"queue": false` rejects it if the GPU is not free; otherwise it would wait in the queue."""
    tour.head(start, "Start the training")
    tour.may_run = True
    answer = tour.request(f"{TRAINING}/start", "POST", _request(tour))
    if answer.error:
        tour.may_run = False
    else:
        tour.training = answer.data["task_id"]
    detail = answer.error.get("detail") or f"{answer.data['task_id']} is {answer.data['status']}"
    tour.check(answer.status == 201, f"{answer.status}: {detail}")


def follow(tour: Tour) -> None:
    """Show progress, loss, speed and remaining time."""
    tour.head(follow, "Follow the training")
    report = _follow(tour, lambda report: (report["progress"]["overall_progress"] or 0.0) >= FAR_ENOUGH)
    tour.check(report["status"] == "running", f"it is {report['status']}")


def _follow(tour: Tour, is_enough: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """Show the progress until `is_enough` or the end of the training; return the last report."""
    until = time.monotonic() + TRAINING_SECONDS
    with changing_line(tour.console, POLLS_A_SECOND) as show:
        while True:
            report: Mapping[str, Any] = tour.request(f"{tour.training_path}/progress").require()
            show(_describe(report))
            if report["status"] not in ACTIVE or is_enough(report):
                return report
            if time.monotonic() > until:
                raise DemoError(f"{tour.training} is still {report['status']} after {TRAINING_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)


def _describe(report: Mapping[str, Any]) -> str:
    progress, speed, loss = report["progress"], report["speed"], report["metrics"]["current_loss"]
    share = progress["overall_progress"] or 0.0
    stage = progress["stage"] or report["status"]
    step = f"step {progress['current_step'] or 0:>3}/{known(progress['total_steps'])}"
    pace = "" if speed["steps_per_second"] is None else f"{speed['steps_per_second']:.0f} steps/s"
    left = "" if progress["eta_seconds"] is None else f"{progress['eta_seconds']:.0f} s left"
    shown_loss = "loss ?" if loss is None else f"loss {loss:.3f}"
    return f"{bar(share / 100, 20)} {share:3.0f} %  {step}  {shown_loss:10}  {pace:10}  {left or stage}"


def stop(tour: Tour) -> None:
    """Stop the training with a checkpoint. The rungs of a stop are: checkpoint, terminate, kill."""
    tour.head(stop, "Stop with a checkpoint")
    task = tour.request(f"{TRAINING}/stop/{tour.training}", "POST", {"timeout_seconds": 20}).require()
    started, before = time.monotonic(), ""
    while True:
        rung = (task["stop"] or {}).get("rung")
        now = f"{task['status']}, rung {known(rung)}" if task["status"] == "stopping" else task["status"]
        if now != before:
            tour.say(f"after {time.monotonic() - started:.1f} s: {now}", "yellow")
        before = now
        if task["status"] not in ACTIVE:
            break
        if time.monotonic() - started > STOP_SECONDS:
            raise DemoError(f"{tour.training} is still {task['status']} after {STOP_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
        task = tour.request(tour.training_path).require()
    tour.may_run = False
    _show_checkpoints(tour, task)
    tour.check(task["status"] == "stopped" and task["stop"]["rung"] == "checkpoint", "the first rung was enough")


def _show_checkpoints(tour: Tour, task: Mapping[str, Any]) -> None:
    found = tour.request(f"{tour.training_path}/checkpoints").require()["checkpoints"]
    for checkpoint in found:
        state = "complete" if checkpoint["is_complete"] else "incomplete"
        newest = ", the newest" if checkpoint["is_latest"] else ""
        tour.say(f"{checkpoint['name']}: {checkpoint['size_bytes'] / 1e6:.1f} MB, {state}{newest}")
    complete = [checkpoint["step"] for checkpoint in found if checkpoint["is_complete"]]
    last = task["attempts"][-1]["last_step"]
    tour.check(bool(complete) and complete[-1] == last, f"no step is lost: the checkpoint contains step {known(last)}")


def resume(tour: Tour) -> None:
    """Resume the training: a second attempt continues from the latest complete checkpoint."""
    tour.head(resume, "Resume the training")
    tour.may_run = True
    tour.request(f"{TRAINING}/resume/{tour.training}", "POST", {}).require()
    report = _follow(tour, lambda report: False)
    tour.may_run = False
    tour.is_trained = report["status"] == "completed"
    # After a stop at the end of an epoch the trainer makes one more step.
    step, total = report["progress"]["current_step"], report["progress"]["total_steps"]
    is_at_end = step == total and total in (STEPS, STEPS + 1)
    tour.check(tour.is_trained and is_at_end, f"it is {report['status']}, at step {known(step)} of {known(total)}")


def show_loss(tour: Tour) -> None:
    """Show the loss of both attempts on a logarithmic scale. The second attempt begins at │."""
    tour.head(show_loss, "Loss")
    series = tour.request(f"{tour.training_path}/metrics?metric=loss&limit=10000").require()["data"]
    attempts = tour.request(tour.training_path).require()["attempts"]
    losses = [point["value"] for point in series if point["value"] is not None]
    if len(losses) < len(attempts) or any(attempt["first_step"] is None for attempt in attempts):
        raise DemoError(f"only {len(losses)} losses of {len(attempts)} attempts are stored")
    curve = means(losses, CURVE_WIDTH)
    cut = round(len(curve) * (attempts[-1]["first_step"] - 1) / STEPS)
    marks = sparkline([math.log(max(loss, LEAST_LOSS)) for loss in curve])
    tour.console.print(Text(f"{marks[:cut]}│{marks[cut:]}"), no_wrap=True, overflow="crop")
    for attempt in attempts:
        tour.say(f"attempt {attempt['number']}: steps {attempt['first_step']} to {attempt['last_step']}")
    last = attempts[-1]["last_step"]
    tour.check([point["step"] for point in series] == list(range(1, last + 1)), "every step is recorded once")
    tour.check(curve[-1] < curve[0] / 2, f"the loss fell from {curve[0]:.3f} to {curve[-1]:.3f}")


def show_artifacts(tour: Tour) -> None:
    """List the files of the training by kind."""
    tour.head(show_artifacts, "Artifacts")
    found = tour.request(f"{tour.training_path}/artifacts?limit=500").require()
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for artifact in found["artifacts"]:
        kinds.setdefault(artifact["kind"], []).append(artifact)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("kind", "files", "kB", "example"):
        table.add_column(title, justify="right" if title in ("files", "kB") else "left")
    for kind, files in sorted(kinds.items()):
        size = sum(file["size_bytes"] for file in files) / 1000
        table.add_row(kind, str(len(files)), f"{size:,.0f}", Text(files[-1]["path"], overflow="fold"))
    tour.console.print(table)
    samples = [file["path"] for file in kinds.get("sample", ())]
    models = {file["path"].split("/")[-2] for file in kinds.get("model", ())}
    is_whole = len(samples) == EPOCHS and len(models) == EPOCHS and all(f["is_complete"] for f in found["artifacts"])
    tour.check(is_whole, f"there is a complete model and sample for each of the {EPOCHS} epochs")


def show_sample(tour: Tour) -> None:
    """Download a sample of the last epoch. An interrupted download can continue with `Range`."""
    tour.head(show_sample, "Download a sample")
    found = tour.request(f"{tour.training_path}/artifacts?limit=500").require()["artifacts"]
    samples = [file for file in found if file["kind"] == "sample"]
    if not samples:
        tour.check(False, "there is a sample")
        return
    path = f"{tour.training_path}/artifacts/{quote(samples[-1]['path'])}"
    content = tour.download(path, "-o", "sample.png")
    is_whole = len(content) == samples[-1]["size_bytes"] and content.startswith(b"\x89PNG")
    tour.check(is_whole, f"{samples[-1]['path']}: {len(content):,} bytes, a PNG of the listed size")
    if is_whole:
        has_colours = tour.console.is_terminal and tour.console.color_system in ("256", "truecolor")
        tour.console.print(picture(content, 64, 32) if has_colours else Text(shades(content, 64, 32)), soft_wrap=True)


def show_events(tour: Tour) -> None:
    """List the training's events with time and actor, oldest first."""
    tour.head(show_events, "Events of the training")
    events = tour.request(f"{tour.training_path}/events?limit=100").require()["events"]
    for event in events:
        tour.say(f"{event['timestamp'][11:19]} {event['actor']:10} {event['message']}")
    statuses = [event["current"] for event in events if event["type"] == "status"]
    beginning = ["queued", "starting", "running"]
    tour.check(statuses == [*beginning, "stopping", "stopped", *beginning, "completed"], " → ".join(map(str, statuses)))


def delete(tour: Tour) -> None:
    """Delete the training and its files once its GPU is free."""
    tour.head(delete, "Delete the training")
    started = time.monotonic()
    while True:
        answer = tour.request(f"{tour.training_path}?files=true", "DELETE")
        if answer.status != 409 or time.monotonic() - started > STOP_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    detail = answer.error.get("detail") or f"{tour.training} is deleted"
    tour.check(answer.status == 200 and answer.data["files_deleted"], f"{answer.status}: {detail}")


def stop_all(tour: Tour) -> None:
    """Stop the tour's trainings. They are found by name, as the response to the start may have been lost."""
    path = f"{TRAINING}/list?status={','.join(ACTIVE)}&search={quote(tour.name)}"
    until, requested = time.monotonic() + STOP_SECONDS, set()
    while running := [task["task_id"] for task in tour.request(path).require()["tasks"]]:
        for task_id in running:
            if task_id not in requested:
                tour.request(f"{TRAINING}/stop/{task_id}", "POST", {"force": True})
                requested.add(task_id)
        if time.monotonic() > until:
            raise DemoError(f"{', '.join(running)} has not stopped in {STOP_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    tour.say("The training is stopped." if requested else "No training is running.")
