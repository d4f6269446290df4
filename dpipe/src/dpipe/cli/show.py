"""Forms of values for people. Unknown values are shown as a dash, never as 0."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

UNKNOWN = "–"

#: Control characters and changes of the writing direction: names and log lines must not steer the terminal.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_STYLES = {
    **dict.fromkeys(("running", "completed", "available", "ok"), "green"),
    **dict.fromkeys(("training", "preprocessing"), "cyan"),
    **dict.fromkeys(("queued", "starting", "stopping", "draining", "paused", "degraded"), "yellow"),
    **dict.fromkeys(("failed", "lost", "failing"), "red"),
    **dict.fromkeys(("busy", "unknown", "stopped"), "magenta"),
}


def clean(text: Any) -> str:
    """Return the text without characters that steer a terminal."""
    return _CONTROL.sub("\ufffd", UNKNOWN if text is None else str(text))


def escape_control(json: str) -> str:
    r"""Return JSON in which such characters are escaped as \uXXXX; inside of strings that is the same value."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def style_of(status: Any) -> str:
    """Return the style of a status; empty for values that this version does not know."""
    return _STYLES.get(str(status), "")


def duration(seconds: float | None) -> str:
    """Return seconds as `42s`, `3m12s`, `2h5m` or `3d4h`."""
    if seconds is None:
        return UNKNOWN
    left, parts = max(0, round(seconds)), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= length or parts:
            parts.append(f"{left // length}{unit}")
        left %= length
    return "".join(parts[:2]) or "0s"


def gigabytes(megabytes: float | None) -> str:
    """Return MB, as nvidia-smi counts them, in GB."""
    return UNKNOWN if megabytes is None else f"{megabytes / 1024:.1f}"


def number(value: float | None, form: str = ".4g", unit: str = "") -> str:
    """Return a number, or the dash."""
    return UNKNOWN if value is None else f"{value:{form}}{unit}"


def bar(percent: float | None, width: int) -> str:
    """Return a bar of this many characters; empty for an unknown value."""
    full = 0 if percent is None else round(min(100.0, max(0.0, percent)) * width / 100)
    return "█" * full + "░" * (width - full)


def memory(gpu: Mapping[str, Any]) -> str:
    """Return used and total memory of a GPU in GB."""
    known = gpu["memory"]
    return f"{gigabytes(known['used'])}/{gigabytes(known['total'])} GB"


def name_of(gpu: Mapping[str, Any]) -> str:
    """Return the short name of a GPU's model."""
    return clean(gpu["name"]).removeprefix("NVIDIA ").removeprefix("GeForce ")


def index_of(gpu: Mapping[str, Any]) -> str:
    """Return the index of a GPU, with its node if there are several."""
    index = clean(gpu["gpu_id"])
    return f"{clean(gpu['node'])}:{index}" if gpu.get("node") else index


def status_of(gpu: Mapping[str, Any]) -> str:
    """Return the status of a GPU."""
    return "paused" if gpu["paused_until"] else str(gpu["status"])


def counted(gpus: Iterable[Mapping[str, Any]]) -> str:
    """Return how many GPUs of each model have each status."""
    counts = Counter((name_of(gpu), status_of(gpu)) for gpu in gpus)
    return ", ".join(f"{count} × {name} {status}" for (name, status), count in counts.items())


def gpu_ids(task: Mapping[str, Any]) -> str:
    """Return the GPUs of a task, or the number that it requests."""
    known = [str(each) for each in task["gpu_ids"] if each is not None]
    return ",".join(known) if known else f"({task['gpu_count']})"


#: The columns of tables: their titles, and what they show of a row.
Columns = Mapping[str, Callable[[Any], Any]]

GPUS: Columns = {
    "GPU": index_of,
    "NAME": name_of,
    "STATUS": status_of,
    "USE": lambda gpu: number(gpu["utilization_gpu"], "d", " %"),
    "MEMORY": memory,
    "TASK": lambda gpu: gpu["current_task"]["task_id"] if gpu["current_task"] else "",
}

TASKS: Columns = {
    "TASK": itemgetter("task_id"),
    "STATUS": itemgetter("status"),
    "DONE": lambda task: number(task["progress"]["overall_progress"], ".0f", " %"),
    "LOSS": lambda task: number(task["metrics"]["current_loss"]),
    "LEFT": lambda task: duration(task["progress"]["eta_seconds"]),
    "GPUS": gpu_ids,
    "NAME": lambda task: task["name"] or task["model_type"],
}

#: Of compared trainings, which other tables name by their numbers.
COMPARED: Columns = {
    "": itemgetter("number"),
    "TASK": itemgetter("task_id"),
    "STATUS": itemgetter("status"),
    "STEPS": lambda task: f"{number(task['step'], 'd')}/{number(task['total_steps'], 'd')}",
    "TIME": lambda task: duration(task["duration"]),
    "LAST": lambda task: number(task["losses"][0]["last"] if task["losses"] else None),
    "LOWEST": lambda task: number(task["losses"][0]["lowest"] if task["losses"] else None),
    "NAME": itemgetter("name"),
}


def findings(found: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Yield a line for each finding about a request, and one for its remedy."""
    for each in found:
        pointer = clean(each.get("pointer") or "")
        yield f"  {pointer + ': ' if pointer else ''}{clean(each['message'])}"
        if each.get("remedy"):
            yield f"    → {clean(each['remedy'])}"
