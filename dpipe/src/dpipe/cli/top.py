"""The live screen of GPUs and trainings. Its lines are texts, not tables, which cost ten times as much."""

import contextlib
import itertools
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from dpipe.cli import show
from dpipe.cli.session import Session
from dpipe.cli.show import bar, clean, number
from dpipe.errors import DpipeError

#: The width of a GPU in the compact form, and of a screen with room for the tasks of GPUs.
_CELL, _WIDE = 20, 100

#: An object of an answer; the GPUs, and the trainings that have or wait for them.
Row = Mapping[str, Any]
State = tuple[Row, Sequence[Row]]


def read(session: Session) -> State:
    """Return the present state. Raise DpipeError."""
    status = session.client.get("/gpu/status")
    listed = session.client.get("/training/list", status="running,starting,stopping,queued", limit=50)
    order = {"running": 0, "stopping": 1, "starting": 2}
    return status, sorted(listed["tasks"], key=lambda task: order.get(task["status"], 3))


def show_live(session: Session, interval: float) -> None:
    """Draw the screen until the user presses q. A server that goes away is waited for."""
    state, problem = read(session), ""
    with _keys() as wait, Live(console=session.out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(session, state, problem), refresh=True)
            if wait(interval):
                return
            try:
                state, problem = read(session), ""
            except DpipeError as error:
                problem = error.message


def print_states(session: Session, interval: float, count: int | None) -> None:
    """Print the state again and again, as JSON lines or tables."""
    for turn in itertools.count(1):
        status, tasks = read(session)
        if not session.prints_json({**status, "tasks": tasks}, as_line=True):
            session.table(show.GPUS, status["gpus"])
            session.line()
            session.table(show.TASKS, tasks)
            session.line()
        if turn == count:
            return
        time.sleep(interval)


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """Yield a function that waits for some seconds and returns whether q was pressed meanwhile."""
    if not sys.stdin.isatty():
        yield time.sleep
        return
    import termios  # noqa: PLC0415 - not on Windows
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)

    def wait(seconds: float) -> bool:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        # Without bytes the terminal is gone.
        return bool(ready) and os.read(sys.stdin.fileno(), 64)[:1] in (b"q", b"Q", b"")

    try:
        tty.setcbreak(sys.stdin)
        yield wait
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _screen(session: Session, state: State, problem: str) -> Group:
    (status, tasks), (width, height) = state, session.out.size
    gpus, known = status["gpus"], status["summary"]
    facts = f"{known['total_gpus']} GPUs, {known['available_gpus']} available ({clean(status['source'])})"
    lines = [Text(f"{clean(session.client.url)}  {facts}  {time.strftime('%H:%M:%S')}  q: quit", no_wrap=True)]
    if problem or status["stale"]:
        text = f"Not current: {clean(problem)}" if problem else "Some readings are too old."
        lines.append(Text(text, "bold red", no_wrap=True, overflow="ellipsis"))
    # The trainings get what the GPUs leave, but at least a quarter of the screen.
    reserved = min(len(tasks) + 2, height // 4) if tasks else 0
    lines += _gpu_lines(gpus, width, height - len(lines) - reserved)
    if tasks:
        lines += [Text(), *_task_lines(tasks)]
    return Group(*lines[:height])


def _gpu_lines(gpus: Sequence[Row], width: int, rows: int) -> list[Text]:
    """Return at most so many lines: one for each GPU if they fit, else several GPUs on a line."""
    if len(gpus) < rows:
        head = f"{'GPU':>4} {'NAME':14} {'STATUS':10} {'USE':15} {'MEMORY':15} {'TEMP':>5} {'POWER':>6}"
        head += "  TASK" if width >= _WIDE else ""
        return [Text(head, "dim", no_wrap=True), *(_gpu_line(gpu, width) for gpu in gpus)]
    per_row = width // _CELL or 1
    lines = [Text(f"{'GPU':>4} {'USE':9} MEM  " * per_row, "dim", no_wrap=True)]
    for first in range(0, len(gpus), per_row):
        if len(lines) == rows - 1 and len(gpus) - first > per_row:
            lines.append(Text(f"{len(gpus) - first} more GPUs: enlarge the window", "dim", no_wrap=True))
            break
        cells = [part for gpu in gpus[first : first + per_row] for part in _cell(gpu)]
        lines.append(Text.assemble(*cells, no_wrap=True))
    return lines


def _gpu_line(gpu: Row, width: int) -> Text:
    status, used, task = clean(gpu["status"]), gpu["utilization_gpu"], gpu["current_task"]
    line = Text(f"{show.index_of(gpu):>4} {show.name_of(gpu)[:14]:14} ", no_wrap=True, overflow="ellipsis")
    line.append(f"{status[:10]:10} {bar(used, 9)}", show.style_of(status))
    line.append(f"{number(used, 'd', '%'):>5}  {show.memory(gpu):15}")
    line.append(f"{number(gpu['temperature']['gpu'], 'd', '°C'):>5} {number(gpu['power_usage'], '.0f', 'W'):>6}")
    if width >= _WIDE and task is not None:
        line.append(f"  {clean(task['task_id'])} {number(task['progress'], '.0f', '%')}", "dim")
    return line


def _cell(gpu: Row) -> Iterator[str | tuple[str, str]]:
    used, style = gpu["utilization_gpu"], show.style_of(gpu["status"])
    mark = {"available": " ", "lost": "!", "unknown": "?"}.get(gpu["status"], "*")
    yield f"{show.index_of(gpu)[-4:]:>4}{mark}", style
    yield bar(used, 4), style
    yield f"{number(used, 'd', '%'):>5} {number(gpu['memory']['utilization'], '.0f', '%'):>4} "


def _task_lines(tasks: Sequence[Row]) -> list[Text]:
    lines = [Text(f"{'TASK':24} {'STATUS':9} {'DONE':13} {'LOSS':>7} {'LEFT':>6} {'GPUS':5} NAME", "dim", no_wrap=True)]
    for task in tasks:
        done, status = task["progress"]["overall_progress"], clean(task["status"])
        line = Text(f"{clean(task['task_id']):24} ", no_wrap=True, overflow="ellipsis")
        line.append(f"{status:9} ", show.style_of(status))
        if status == "queued":
            line.append(f"{clean(task['waiting_reason'])}", "dim")
        else:
            loss, left = number(task["metrics"]["current_loss"]), show.duration(task["progress"]["eta_seconds"])
            line.append(f"{bar(done, 8)} {number(done, '.0f', '%'):>4} {loss:>7} {left:>6} {show.gpu_ids(task)[:5]:5} ")
            line.append(clean(task["name"] or task["model_type"]))
        lines.append(line)
    return lines
