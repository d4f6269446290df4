"""Invariants after the end of everything: the service's answers against files, logs, processes and the database."""

import itertools
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.toy_tasks import COMPLETED, KINDS, QUIT, AttemptFiles, attempts_of
from tests.e2e.witness import Processes

if TYPE_CHECKING:
    from tests.e2e.chaos import Client

FREE_SECONDS = 30.0

#: Outcomes that a kill of one of its processes may cause, besides the regular ones.
STRUCK = {"killed", "host_out_of_memory", "supervisor_lost", "trainer_error", "did_not_train"}


def find_violations(root: Path, client: "Client", struck: set[str]) -> list[str]:
    """Return every violated invariant."""
    found = list(_left_behind(root))
    rows = client.tasks()
    if rows.keys() != client.known.keys():
        found.append(f"unacknowledged tasks: {rows.keys() - client.known.keys()}")
    for task_id in client.known:
        task = client.request("GET", f"/training/{task_id}").json()["data"]
        events = list(_events(client, task_id))
        series = client.request("GET", f"/training/{task_id}/metrics", params={"limit": "10000"}).json()["data"]["data"]
        found += [f"{task_id} ({client.known[task_id].kind}): {what}" for what in _task(root, client, task, struck)]
        found += [f"{task_id}: {what}" for what in check_events(events, task["status"])]
        made_room = {event["attempt"] for event in events if "made room" in event["message"] and event["attempt"]}
        client.figures["made room"] += len(made_room)
        found += [f"{task_id}: {what}" for what in _lost_steps(root, task, made_room)]
        found += [f"{task_id}: {what}" for what in _series(task, [point["step"] for point in series])]
    return found


def _lost_steps(root: Path, task: dict[str, Any], made_room: set[str]) -> Iterator[str]:
    """Return attempts that made room for an urgent training, and whose next attempt lost more than one step."""
    quit_well = {attempt.number for attempt in attempts_of(root, task["task_id"]) if QUIT in attempt.log}
    for before, after in itertools.pairwise(task["attempts"]):
        if before["attempt"] in made_room and before["number"] in quit_well:
            step = int((after["resumed_from"] or "global_step0").removeprefix("global_step"))
            if step < (before["last_step"] or 0) - 1:
                yield f"{before['attempt']} made room at step {before['last_step']}, and went on from {step}"


def find_lost_output(root: Path, client: "Client", orphaned: set[str]) -> Iterator[str]:
    """Return attempts whose end was not observed, that were not killed, and whose last output is not in the log."""
    for uid in orphaned:
        task_id, _, number = uid.rpartition(".")
        known = client.known.get(task_id)
        if known is None or known.kind not in ("plain", "two", "three", "nasty"):
            continue
        for attempt in attempts_of(root, task_id):
            outcome = attempt.outcome or {}
            by_itself = outcome.get("reason") == "supervisor_lost" and outcome.get("stop_rung") in (None, "checkpoint")
            if attempt.number == int(number) and by_itself and not (COMPLETED in attempt.log or QUIT in attempt.log):
                yield f"{uid} ended unobserved, and its last output is lost: {attempt.log[-200:]!r}"


def _events(client: "Client", task_id: str) -> Iterator[dict[str, Any]]:
    """Return all events, page by page."""
    query: dict[str, str] = {"limit": "500"}
    while True:
        page = client.request("GET", f"/training/{task_id}/events", params=query).json()["data"]
        yield from page["events"]
        if not page["pagination"]["has_more"]:
            return
        query["cursor"] = page["pagination"]["next_cursor"]


def _left_behind(root: Path) -> Iterator[str]:
    """Return leases and processes that should not exist."""
    processes = Processes(root)
    give_up = time.monotonic() + FREE_SECONDS
    while True:
        left = [f"a lease is left: {lease}" for lease in leases(root)]
        left += [f"a process is left: {process}" for process in processes.trainers()]
        left += [f"a supervisor is left: {directory}" for directory in processes.supervisors().values()]
        if not left or time.monotonic() > give_up:
            return iter(left)
        time.sleep(0.1)


def leases(root: Path) -> list[tuple[Any, ...]]:
    """Return every lease in the database."""
    with closing(sqlite3.connect(f"file:{root / 'database.sqlite'}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute("SELECT resource, attempt_uid, state FROM leases").fetchall()


def check_events(events: list[dict[str, Any]], status: str) -> Iterator[str]:
    """Check that the chain of statuses has no gap, and that nothing starts by itself after a stop."""
    before, was_stopped = None, False
    for event in events:
        if event["type"] != "status":
            continue
        if event["previous"] != before:
            yield f"a gap in the chain: from {before} to {event}"
        before = event["current"]
        if before == "stopping" and event["actor"] == "api":
            was_stopped = True
        elif before == "queued":
            if was_stopped and event["actor"] != "api":
                yield f"it continued although a stop was requested: {event}"
            was_stopped = False
    if before != status:
        yield f"it is {status}, but its last event has {before}"
    if [event["id"] for event in events] != sorted({event["id"] for event in events}):
        yield "its events are not in order"


def _task(root: Path, client: "Client", task: dict[str, Any], struck: set[str]) -> Iterator[str]:
    attempts = attempts_of(root, task["task_id"])
    for attempt in attempts:
        yield from _attempt(attempt, task)
    was_struck = any(f"{task['task_id']}.{attempt.number}" in struck for attempt in attempts)
    yield from _status(task, attempts, client.known[task["task_id"]].stops)
    kind = KINDS[client.known[task["task_id"]].kind]
    expected = {kind.ends}
    if client.known[task["task_id"]].stops and kind.body["config"]["toy"].get("fail_once"):
        # It failed by itself at the moment of the stop, and is then not retried.
        expected |= {"trainer_error", "port_in_use"}
    code = (task["failure"] or {}).get("code")
    if task["status"] == "failed" and code not in expected | (STRUCK if was_struck else set()):
        yield f"it failed with {task['failure']}"
    if task["status"] == "completed" and not expected & {"completed", "stopped"}:
        yield "it completed but should have failed"


def _status(task: dict[str, Any], attempts: list[AttemptFiles], stops: int) -> Iterator[str]:
    latest = next((a.log for a in attempts if a.number == task["attempt_count"]), "")
    status = task["status"]
    if (status == "completed") != (COMPLETED in latest):
        yield f"it is {status}, but its log ends with {latest[-200:]!r}"
    if QUIT in latest and status not in ("stopped", "completed"):
        yield f"it quit as requested, but is {status}"
    if status == "stopped" and not stops:
        yield "it is stopped without a request"
    checkpoints = [checkpoint for checkpoint in task["checkpoints"] if checkpoint["is_complete"]]
    if QUIT in latest and not checkpoints:
        yield "it quit with a checkpoint, but none is complete"
    if status == "completed" and not checkpoints:
        yield "it completed without a complete checkpoint"


def _attempt(attempt: AttemptFiles, task: dict[str, Any]) -> Iterator[str]:
    number, steps = attempt.number, attempt.steps
    shown = next((each for each in task["attempts"] if each["number"] == number), None)
    if shown is None:
        yield f"attempt {number} has files, but is unknown to the service"
        return
    if attempt.outcome is None:
        yield f"attempt {number} has no exit.json"
    if attempt.starts > 1:
        yield f"attempt {number} was started {attempt.starts} times"
    if steps and steps != list(range(steps[0], steps[-1] + 1)):
        yield f"attempt {number} has a gap in its steps: {steps}"
    resumed = re.fullmatch(r"global_step(\d+)", shown["resumed_from"] or "")
    first = 1 if resumed is None else int(resumed[1]) + 1
    if steps and (steps[0], steps[-1]) != (first, shown["last_step"]):
        yield f"attempt {number} ran steps {steps[0]} to {steps[-1]}; {first} to {shown['last_step']} are reported"
    outcome = attempt.outcome or {}
    if outcome.get("reason") == "exited" and COMPLETED in attempt.log and shown["exit_code"] != 0:
        yield f"attempt {number} completed with exit code {shown['exit_code']}"


def _series(task: dict[str, Any], steps: list[int]) -> Iterator[str]:
    last = task["attempts"][-1]["last_step"] if task["attempts"] else None
    if last is not None and steps != list(range(1, last + 1)):
        missing = sorted(set(range(1, last + 1)) - set(steps))
        yield f"its curve should go from 1 to {last}: missing {missing[:20]}, last {steps[-3:]}"
