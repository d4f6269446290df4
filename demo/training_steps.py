"""The steps about a training: planned, started, followed, stopped, resumed, and what it made. It trains for real."""

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

#: Percent of its steps after which the walk looks elsewhere, and soon stops it.
FAR_ENOUGH = 30.0

#: Seconds that a part of the training may take, and that its end may take once it was asked to stop.
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
    """What a start would find and do, mistakes and all. `toy` is a tiny diffusion model: it learns, on the CPU."""
    tour.head(validate, "Plan a training")
    found = tour.ask(f"{TRAINING}/validate", "POST", _request(tour)).require()
    for finding in found["errors"]:
        tour.say(f"{finding['pointer']}: {finding['message']} {finding['remedy'] or ''}", "red")
    plan, gpus = found["plan"] or {}, found["gpus"] or {}
    steps, total = known(plan.get("steps_per_epoch")), known(plan.get("total_steps"))
    tour.say(
        f"{known(plan.get('epochs'))} epochs of {steps} steps: {total} steps on {known(plan.get('gpu_count'))} GPU"
    )
    tour.say(f"it would get GPU {', '.join(map(str, gpus.get('gpu_ids') or ['?']))} now")
    for name, text in (plan.get("files") or {}).items():
        tour.say(f"the trainer would read {name}:", "dim")
        tour.say("".join(f"  {line}\n" for line in text.splitlines() if line).rstrip(), "dim")
    tour.check(found["valid"] and plan.get("total_steps") == STEPS, f"it is valid, with {STEPS} steps in all")


def start(tour: Tour) -> None:
    """With `"queue": false` it has its GPU at once or is refused; otherwise it waits for it."""
    tour.head(start, "Start it")
    tour.may_run = True
    answer = tour.ask(f"{TRAINING}/start", "POST", _request(tour))
    if answer.error:
        tour.may_run = False
    else:
        tour.training = answer.data["task_id"]
    detail = answer.error.get("detail") or f"{answer.data['task_id']} is {answer.data['status']}"
    tour.check(answer.status == 201, f"{answer.status}: {detail}")


def follow(tour: Tour) -> None:
    """How far it is, how well it goes, how long it still takes."""
    tour.head(follow, "Follow it")
    told = _follow(tour, lambda told: (told["progress"]["overall_progress"] or 0.0) >= FAR_ENOUGH)
    tour.check(told["status"] == "running", f"it is {told['status']}")


def _follow(tour: Tour, is_enough: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """Shows the progress until it is enough or the training has ended; returns the last that was told."""
    until = time.monotonic() + TRAINING_SECONDS
    with changing_line(tour.console, POLLS_A_SECOND) as show:
        while True:
            told: Mapping[str, Any] = tour.ask(f"{tour.training_path}/progress").require()
            show(_describe(told))
            if told["status"] not in ACTIVE or is_enough(told):
                return told
            if time.monotonic() > until:
                raise DemoError(f"{tour.training} is {told['status']} and not done after {TRAINING_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)


def _describe(told: Mapping[str, Any]) -> str:
    progress, speed, loss = told["progress"], told["speed"], told["metrics"]["current_loss"]
    share = progress["overall_progress"] or 0.0
    stage = progress["stage"] or told["status"]
    step = f"step {progress['current_step'] or 0:>3}/{known(progress['total_steps'])}"
    pace = "" if speed["steps_per_second"] is None else f"{speed['steps_per_second']:.0f} steps/s"
    left = "" if progress["eta_seconds"] is None else f"{progress['eta_seconds']:.0f} s left"
    shown_loss = "loss ?" if loss is None else f"loss {loss:.3f}"
    return f"{bar(share / 100, 20)} {share:3.0f} %  {step}  {shown_loss:10}  {pace:10}  {left or stage}"


def stop(tour: Tour) -> None:
    """It is asked to save a checkpoint and quit. Rungs that it may be on: checkpoint, then terminate, then kill."""
    tour.head(stop, "Stop it, with a checkpoint")
    task = tour.ask(f"{TRAINING}/stop/{tour.training}", "POST", {"timeout_seconds": 20}).require()
    began, before = time.monotonic(), ""
    while True:
        rung = (task["stop"] or {}).get("rung")
        now = f"{task['status']}, on the rung {known(rung)}" if task["status"] == "stopping" else task["status"]
        if now != before:
            tour.say(f"after {time.monotonic() - began:.1f} s: {now}", "yellow")
        before = now
        if task["status"] not in ACTIVE:
            break
        if time.monotonic() - began > STOP_SECONDS:
            raise DemoError(f"{tour.training} is still {task['status']} after {STOP_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
        task = tour.ask(tour.training_path).require()
    tour.may_run = False
    _show_checkpoints(tour, task)
    tour.check(task["status"] == "stopped" and task["stop"]["rung"] == "checkpoint", "the first rung was enough")


def _show_checkpoints(tour: Tour, task: Mapping[str, Any]) -> None:
    found = tour.ask(f"{tour.training_path}/checkpoints").require()["checkpoints"]
    for checkpoint in found:
        state = "complete" if checkpoint["is_complete"] else "incomplete"
        newest = ", the newest" if checkpoint["is_latest"] else ""
        tour.say(f"{checkpoint['name']}: {checkpoint['size_bytes'] / 1e6:.1f} MB, {state}{newest}")
    complete = [checkpoint["step"] for checkpoint in found if checkpoint["is_complete"]]
    last = task["attempts"][-1]["last_step"]
    tour.check(bool(complete) and complete[-1] == last, f"nothing is lost: it is saved up to step {known(last)}")


def resume(tour: Tour) -> None:
    """A second attempt goes on from the last complete checkpoint, with another process."""
    tour.head(resume, "Resume it")
    tour.may_run = True
    tour.ask(f"{TRAINING}/resume/{tour.training}", "POST", {}).require()
    told = _follow(tour, lambda told: False)
    tour.may_run = False
    tour.is_trained = told["status"] == "completed"
    step = told["progress"]["current_step"]
    tour.check(tour.is_trained and step == STEPS, f"it is {told['status']}, at step {known(step)} of {STEPS}")


def show_loss(tour: Tour) -> None:
    """Each of its steps is kept, over both attempts; │ is where the second took over. The scale is logarithmic."""
    tour.head(show_loss, "What it learned")
    series = tour.ask(f"{tour.training_path}/metrics?metric=loss&limit=10000").require()["data"]
    attempts = tour.ask(tour.training_path).require()["attempts"]
    losses = [point["value"] for point in series if point["value"] is not None]
    if len(losses) < len(attempts) or any(attempt["first_step"] is None for attempt in attempts):
        raise DemoError(f"only {len(losses)} losses of {len(attempts)} attempts are kept")
    curve = means(losses, CURVE_WIDTH)
    cut = round(len(curve) * (attempts[-1]["first_step"] - 1) / STEPS)
    marks = sparkline([math.log(max(loss, LEAST_LOSS)) for loss in curve])
    tour.console.print(Text(f"{marks[:cut]}│{marks[cut:]}"), no_wrap=True, overflow="crop")
    for attempt in attempts:
        tour.say(f"attempt {attempt['number']}: steps {attempt['first_step']} to {attempt['last_step']}")
    tour.check([point["step"] for point in series] == list(range(1, STEPS + 1)), "every step is there, once")
    tour.check(curve[-1] < curve[0] / 2, f"the loss fell from {curve[0]:.3f} to {curve[-1]:.3f}")


def show_artifacts(tour: Tour) -> None:
    """Every file that it made, by kind."""
    tour.head(show_artifacts, "What it made")
    found = tour.ask(f"{tour.training_path}/artifacts?limit=500").require()
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for artifact in found["artifacts"]:
        kinds.setdefault(artifact["kind"], []).append(artifact)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("kind", "files", "kB", "such as"):
        table.add_column(title, justify="right" if title in ("files", "kB") else "left")
    for kind, files in sorted(kinds.items()):
        size = sum(file["size_bytes"] for file in files) / 1000
        table.add_row(kind, str(len(files)), f"{size:,.0f}", Text(files[-1]["path"], overflow="fold"))
    tour.console.print(table)
    samples = [file["path"] for file in kinds.get("sample", ())]
    models = {file["path"].split("/")[-2] for file in kinds.get("model", ())}
    is_whole = len(samples) == EPOCHS and len(models) == EPOCHS and all(f["is_complete"] for f in found["artifacts"])
    tour.check(is_whole, f"a model and a sample of each of its {EPOCHS} epochs, and all of it complete")


def show_sample(tour: Tour) -> None:
    """What the model draws after its last epoch; a download that broke off can be continued with `Range`."""
    tour.head(show_sample, "Download a sample")
    found = tour.ask(f"{tour.training_path}/artifacts?limit=500").require()["artifacts"]
    samples = [file for file in found if file["kind"] == "sample"]
    if not samples:
        tour.check(False, "there is a sample")
        return
    path = f"{tour.training_path}/artifacts/{quote(samples[-1]['path'])}"
    content = tour.download(path, "-o", "sample.png")
    is_whole = len(content) == samples[-1]["size_bytes"] and content.startswith(b"\x89PNG")
    tour.check(is_whole, f"{samples[-1]['path']}: {len(content):,} bytes, a PNG as large as it should be")
    if is_whole:
        has_colours = tour.console.is_terminal and tour.console.color_system in ("256", "truecolor")
        tour.console.print(picture(content, 64, 32) if has_colours else Text(shades(content, 64, 32)), soft_wrap=True)


def show_happenings(tour: Tour) -> None:
    """Who did what to it, and when; oldest first."""
    tour.head(show_happenings, "What happened to it")
    events = tour.ask(f"{tour.training_path}/events?limit=100").require()["events"]
    for event in events:
        tour.say(f"{event['timestamp'][11:19]} {event['actor']:10} {event['message']}")
    went = [event["current"] for event in events if event["type"] == "status"]
    once = ["queued", "starting", "running"]
    tour.check(went == [*once, "stopping", "stopped", *once, "completed"], " → ".join(map(str, went)))


def delete(tour: Tour) -> None:
    """It is forgotten, with its files, once its GPU is free again."""
    tour.head(delete, "Delete it")
    began = time.monotonic()
    while True:
        answer = tour.ask(f"{tour.training_path}?files=true", "DELETE")
        if answer.status != 409 or time.monotonic() - began > STOP_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    detail = answer.error.get("detail") or f"{tour.training} is gone"
    tour.check(answer.status == 200 and answer.data["files_deleted"], f"{answer.status}: {detail}")


def stop_at_last(tour: Tour) -> None:
    """Stops what the walk has started, found by its name: the answer to the start may have been lost."""
    path = f"{TRAINING}/list?status={','.join(ACTIVE)}&search={quote(tour.name)}"
    until, asked = time.monotonic() + STOP_SECONDS, set()
    while left := [task["task_id"] for task in tour.ask(path).require()["tasks"]]:
        for task_id in left:
            if task_id not in asked:
                tour.ask(f"{TRAINING}/stop/{task_id}", "POST", {"force": True})
                asked.add(task_id)
        if time.monotonic() > until:
            raise DemoError(f"{', '.join(left)} has not stopped in {STOP_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    tour.say("The training is stopped." if asked else "No training runs.")
