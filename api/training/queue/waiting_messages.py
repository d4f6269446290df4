"""Reasons why a task waits, with short texts for any number of GPUs. Pure functions."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.domain.access.read_scope import OTHER_USERS_TASK, ReadScope
from api.domain.machines.gpu import GPUOffer
from api.domain.reason import Reason, ReasonCode, ReasonOrText, code_of, text_of
from api.domain.tasks.training import TaskSummary
from api.gpus.hiding import hide_in_message

#: Limit of named groups of GPUs, which fit two lines. The rest is counted.
MOST_GROUPS = 3
#: Limit of nodes whose GPUs are named in one group.
MOST_NODES = 3
#: Characters of a GPU's own reason to show, because a sentence may have several.
LONGEST_REASON = 70

#: The name of a GPU: its node, empty if there is only one, and its index there.
GPUName = tuple[str, int]

#: Kinds of obstacles that name a task.
_HOLDERS = ("held_by", "kept_for", "goes_to")

#: What is said of a GPU that is paused or outside its hours, by the code of its reason.
_CLOSED = {"gpu_paused": "paused", "outside_schedule": "closed", "never_open": "closed"}

#: Replaces a task that the reader may not see.
_NAMELESS: Mapping[str, str | None] = {"task_id": None, "name": None}


#: The reason for a task that no pass has considered yet.
JUST_QUEUED = Reason.of("it was queued a moment ago", "just_queued")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why one GPU is unsuitable. `kind` is a stable value and `what` its object; equal obstacles are grouped."""

    kind: str
    what: str = ""
    detail: ReasonOrText = ""


def needs_gpus(
    task: TaskSummary,
    obstacles: Sequence[tuple[GPUName, Obstacle]],
    absent: Sequence[str],
    names: Mapping[str, str],
    elsewhere: Sequence[tuple[GPUName, Obstacle]] = (),
) -> Reason:
    """Return the reason that a task lacks GPUs: the obstacle of each, and requested GPUs that are `absent`.

    `elsewhere` are GPUs on which nothing can be started. They are named last.
    """
    groups: dict[tuple[str, str], list[tuple[GPUName, Obstacle]]] = {}
    for gpu, found in obstacles:
        groups.setdefault((found.kind, found.what), []).append((gpu, found))
    ordered = [_fullest_nodes(group) for group in sorted(groups.values(), key=lambda group: (-len(group), group[0][0]))]
    shown = [_show(group, names) for group in ordered[:MOST_GROUPS]]
    shown += [_show(_fullest_nodes(list(elsewhere)), names)] if elsewhere else []
    rest = len(obstacles) - sum(map(len, ordered[:MOST_GROUPS]))
    params = {
        "gpus": _references(task),
        "gpu_count": task.gpu_count,
        "min_memory": task.gpus.min_memory,
        "obstacles": shown,
        "more": rest,
        "absent": list(absent[:MOST_GROUPS]),
    }
    return _format_needs(f"needs {describe_request(task)}: ", params)


def _format_needs(prefix: str, params: Mapping[str, Any]) -> Reason:
    parts = [
        f"{'GPU' if each['is_one'] else 'GPUs'} {each['gpus']} {_format_obstacle(each)}" for each in params["obstacles"]
    ]
    more = params["more"]
    parts += [f"{more} more {'is' if more == 1 else 'are'} unavailable, too"] if more else []
    parts += [f"GPU {name} does not exist" for name in params["absent"]]
    return Reason(f"{prefix}{', '.join(parts) or 'there are too few'}", ReasonCode("needs_gpus", params))


def _fullest_nodes(group: list[tuple[GPUName, Obstacle]]) -> list[tuple[GPUName, Obstacle]]:
    """Return the GPUs of a group that are in the nodes with most of them, up to the limit."""
    counts = Counter(node for (node, _), _ in group)
    named = {node for node, _ in counts.most_common(MOST_NODES)}
    return group if len(named) == len(counts) else [each for each in group if each[0][0] in named]


def _show(group: Sequence[tuple[GPUName, Obstacle]], names: Mapping[str, str]) -> dict[str, Any]:
    first = group[0][1]
    details = {text_of(found.detail): found.detail for _, found in group}
    shown: dict[str, Any] = {"kind": first.kind, "gpus": _name_gpus([gpu for gpu, _ in group])}
    shown["is_one"] = len(group) == 1
    if first.kind in _HOLDERS:
        return shown | {"task_id": first.what, "name": names.get(first.what)}
    # Details that differ between GPUs are shown on the page of each GPU.
    text, detail = details.popitem() if len(details) == 1 else ("", "")
    return shown | {"what": first.what, "detail": _shorten(text), "detail_code": code_of(detail)}


def _name_gpus(gpus: Sequence[GPUName]) -> str:
    """Return names such as `0–3, 5` on a single node, or `box2:0–1, box3:7` on several."""
    by_node: dict[str, list[int]] = {}
    for node, index in gpus:
        by_node.setdefault(node, []).append(index)
    return ", ".join(ranges(sorted(indices), f"{node}:" if node else "") for node, indices in by_node.items())


def _format_obstacle(shown: Mapping[str, Any]) -> str:
    verb, holder = "is" if shown["is_one"] else "are", shown.get("name") or shown.get("task_id") or OTHER_USERS_TASK
    match shown["kind"]:
        case "held_by":
            return f"{verb} held by {holder}"
        case "kept_for":
            return f"{verb} reserved for {holder}"
        case "goes_to":
            return f"{'goes' if shown['is_one'] else 'go'} to {holder}"
        case "too_small":
            return f"{'has' if shown['is_one'] else 'have'} {shown['what']} MB free"
        case "status" if shown["what"] in _CLOSED.values():
            until = (shown["detail_code"].params if shown["detail_code"] else {}).get("until")
            return f"{verb} {shown['what']}" + (f" until {until}" if until else "")
        case "status":
            return f"{verb} {shown['what']}" + (f" ({shown['detail']})" if shown["detail"] else "")
        case "not_startable":
            return "cannot be used" + (f" ({shown['detail']})" if shown["detail"] else "")
    return f"{verb} not sufficiently known"


def ranges(numbers: Sequence[int], before: str = "") -> str:
    """Return numbers as text, with consecutive ones as ranges: 0–5, 8. `before` is a prefix of each."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(before + (f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0])) for run in _few(runs))


def _few(runs: list[list[int]]) -> list[list[int]]:
    """Return the ranges, or a single one from first to last if there are very many."""
    return runs if len(runs) <= 12 else [[runs[0][0], runs[-1][-1]]]


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def describe_request(task: TaskSummary) -> str:
    """Return the requested GPUs as text."""
    if task.gpus.references:
        return ("GPU " if len(task.gpus.references) == 1 else "GPUs ") + _references(task)
    memory = f" with {task.gpus.min_memory:,} MB free" if task.gpus.min_memory else ""
    return f"{task.gpu_count} GPU{'s' if task.gpu_count > 1 else ''}{memory}"


def _references(task: TaskSummary) -> str:
    references = task.gpus.references
    numbers = [name for name in references if isinstance(name, int)]
    return ranges(sorted(numbers)) if len(numbers) == len(references) else ", ".join(map(str, references))


def caching(holders: Sequence[str], names: Mapping[str, str]) -> Reason:
    """Return the reason that other tasks are caching the same dataset directory."""
    return _format_caching([{"task_id": holder, "name": names.get(holder)} for holder in holders])


def _format_caching(named: Sequence[Mapping[str, str | None]]) -> Reason:
    tasks = ", ".join(each["name"] or each["task_id"] or OTHER_USERS_TASK for each in named)
    verb = "are" if len(named) > 1 else "is"
    return Reason(f"{tasks} {verb} caching the same dataset directory", ReasonCode("caching", {"tasks": list(named)}))


def starts_later(at: datetime) -> Reason:
    """Return the reason that a user has requested a later start."""
    code = ReasonCode("not_before", {"until": f"{at:%Y-%m-%dT%H:%M:%SZ}"})
    return Reason(f"starts at {at:%Y-%m-%d %H:%M %Z} at the earliest", code)


def preempted(by: str | None, names: Mapping[str, str]) -> Reason:
    """Return the reason that an urgent task gets the GPUs of the task."""
    return _format_preempted({"task_id": by, "name": names.get(by or "")})


def _format_preempted(by: Mapping[str, str | None]) -> Reason:
    task = by["name"] or by["task_id"] or OTHER_USERS_TASK
    return Reason(f"its GPUs go to {task}, which is urgent", ReasonCode("preempted", {**by}))


def hide_in_reason(reason: Reason, scope: ReadScope, sees_task: Callable[[str], bool]) -> Reason:
    """Return the reason without tasks and command lines that the reader may not see. The code has null instead."""
    params = reason.said.params
    if reason.said.code == "caching":
        return _format_caching([each if sees_task(each["task_id"]) else _NAMELESS for each in params["tasks"]])
    if reason.said.code == "preempted":
        return reason if sees_task(params["task_id"]) else _format_preempted(_NAMELESS)
    if reason.said.code != "needs_gpus":
        return reason
    obstacles = [_hide_in_obstacle(each, scope, sees_task) for each in params["obstacles"]]
    return _format_needs(reason.text.partition(": ")[0] + ": ", {**params, "obstacles": obstacles})


def _hide_in_obstacle(
    shown: Mapping[str, Any], scope: ReadScope, sees_task: Callable[[str], bool]
) -> Mapping[str, Any]:
    if shown["kind"] in _HOLDERS:
        return shown if sees_task(shown["task_id"]) else {**shown, **_NAMELESS}
    code: ReasonCode | None = shown.get("detail_code")
    if code is None:
        return shown
    # A user named by a GPU's reason belongs to no task of the queue.
    message = hide_in_message(Reason(shown["detail"], code), scope, None)
    return {**shown, "detail": _shorten(text_of(message)), "detail_code": code_of(message)}


def offer_obstacle(gpu: GPUOffer, min_memory: int) -> Obstacle:
    """Return why a task cannot use a GPU that no other task holds."""
    if not gpu.is_available:
        code = code_of(gpu.reason or "")
        if code is not None and code.code in _CLOSED:
            return Obstacle("status", _CLOSED[code.code], gpu.reason or "")
        return Obstacle("status", str(gpu.status), gpu.reason or "")
    if gpu.free_mb is not None and gpu.free_mb < min_memory:
        return Obstacle("too_small", f"{gpu.free_mb:,}")
    return Obstacle("not_known")
