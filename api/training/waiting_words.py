"""Why a task waits, in words that stay short however many GPUs there are. Pure functions."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.domain.gpu import GPUOffer
from api.domain.reason import Reason, ReasonCode, Words, code_of, text_of
from api.domain.sight import ANOTHERS_TASK, Sight
from api.domain.training import TaskSummary
from api.gpus.hiding import hide_in_words

#: The most groups of GPUs that are named, as many as fit two lines; the rest is counted.
MOST_GROUPS = 3
#: The most machines whose GPUs are named in one group, likewise.
MOST_NODES = 3
#: Characters of a GPU's own reason that are shown, as several may stand in one sentence.
LONGEST_REASON = 70

#: A GPU as words call it: its machine, which is empty where there is one alone, and its index there.
GPUName = tuple[str, int]

#: Kinds of obstacles that name a task.
_HOLDERS = ("held_by", "kept_for", "goes_to")

#: Stands for a task that a reader may not see.
_NAMELESS: Mapping[str, str | None] = {"task_id": None, "name": None}


#: What is said of a task that no pass has looked at yet.
JUST_QUEUED = Reason.of("it has just been put into the queue", "just_queued")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why one GPU cannot serve: `kind` is a stable word, `what` what it is about; equal ones are said together."""

    kind: str
    what: str = ""
    detail: Words = ""


def needs_gpus(
    task: TaskSummary,
    obstacles: Sequence[tuple[GPUName, Obstacle]],
    absent: Sequence[str],
    names: Mapping[str, str],
    elsewhere: Sequence[tuple[GPUName, Obstacle]] = (),
) -> Reason:
    """The reason that a task is short of GPUs: what is in the way of each, and which are `absent` from the machine.

    `elsewhere` are GPUs on which nothing can be started; they are named last.
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
    return _say_needs(f"needs {describe_wish(task)}: ", params)


def _say_needs(beginning: str, params: Mapping[str, Any]) -> Reason:
    said = [f"{'GPU' if each['is_one'] else 'GPUs'} {each['gpus']} {_words(each)}" for each in params["obstacles"]]
    said += [f"{params['more']} more cannot be had either"] if params["more"] else []
    said += [f"GPU {name} is not there" for name in params["absent"]]
    return Reason(f"{beginning}{', '.join(said) or 'there are too few'}", ReasonCode("needs_gpus", params))


def _fullest_nodes(group: list[tuple[GPUName, Obstacle]]) -> list[tuple[GPUName, Obstacle]]:
    """Those of a group that are in the machines with the most of it, as many as are named."""
    counts = Counter(node for (node, _), _ in group)
    named = {node for node, _ in counts.most_common(MOST_NODES)}
    return group if len(named) == len(counts) else [each for each in group if each[0][0] in named]


def _show(group: Sequence[tuple[GPUName, Obstacle]], names: Mapping[str, str]) -> dict[str, Any]:
    first = group[0][1]
    details = {text_of(found.detail): found.detail for _, found in group}
    shown: dict[str, Any] = {"kind": first.kind, "gpus": _call([gpu for gpu, _ in group])}
    shown["is_one"] = len(group) == 1
    if first.kind in _HOLDERS:
        return shown | {"task_id": first.what, "name": names.get(first.what)}
    # What differs from GPU to GPU stands on the page of each.
    text, detail = details.popitem() if len(details) == 1 else ("", "")
    return shown | {"what": first.what, "detail": _shorten(text), "detail_code": code_of(detail)}


def _call(gpus: Sequence[GPUName]) -> str:
    """0–3, 5 of one machine alone, and box2:0–1, box3:7 of several."""
    by_node: dict[str, list[int]] = {}
    for node, index in gpus:
        by_node.setdefault(node, []).append(index)
    return ", ".join(ranges(sorted(indices), f"{node}:" if node else "") for node, indices in by_node.items())


def _words(shown: Mapping[str, Any]) -> str:
    verb, holder = "is" if shown["is_one"] else "are", shown.get("name") or shown.get("task_id") or ANOTHERS_TASK
    match shown["kind"]:
        case "held_by":
            return f"{verb} held by {holder}"
        case "kept_for":
            return f"{verb} kept for {holder}"
        case "goes_to":
            return f"{'goes' if shown['is_one'] else 'go'} to {holder}"
        case "too_small":
            return f"{'has' if shown['is_one'] else 'have'} {shown['what']} MB free"
        case "status":
            return f"{verb} {shown['what']}" + (f" ({shown['detail']})" if shown["detail"] else "")
        case "not_startable":
            return "cannot be used" + (f" ({shown['detail']})" if shown["detail"] else "")
    return f"{verb} not known well enough"


def ranges(numbers: Sequence[int], before: str = "") -> str:
    """Numbers in their order, those that follow each other as a range: 0–5, 8. `before` stands before each."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(before + (f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0])) for run in _few(runs))


def _few(runs: list[list[int]]) -> list[list[int]]:
    """The ranges, shortened where there are very many: from the first number to the last."""
    return runs if len(runs) <= 12 else [[runs[0][0], runs[-1][-1]]]


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def describe_wish(task: TaskSummary) -> str:
    """What a task asks for, in words."""
    if task.gpus.references:
        return ("GPU " if len(task.gpus.references) == 1 else "GPUs ") + _references(task)
    memory = f" with {task.gpus.min_memory:,} MB free" if task.gpus.min_memory else ""
    return f"{task.gpu_count} GPU{'s' if task.gpu_count > 1 else ''}{memory}"


def _references(task: TaskSummary) -> str:
    references = task.gpus.references
    numbers = [name for name in references if isinstance(name, int)]
    return ranges(sorted(numbers)) if len(numbers) == len(references) else ", ".join(map(str, references))


def caching(holders: Sequence[str], names: Mapping[str, str]) -> Reason:
    """The reason that others are caching the same dataset directory."""
    return _say_caching([{"task_id": holder, "name": names.get(holder)} for holder in holders])


def _say_caching(named: Sequence[Mapping[str, str | None]]) -> Reason:
    who = ", ".join(each["name"] or each["task_id"] or ANOTHERS_TASK for each in named)
    verb = "are" if len(named) > 1 else "is"
    return Reason(f"{who} {verb} caching the same dataset directory", ReasonCode("caching", {"tasks": list(named)}))


def hide_in_reason(reason: Reason, sight: Sight, sees_task: Callable[[str], bool]) -> Reason:
    """The reason in words that name no task which its reader may not see, and no command line. Null stands in the code
    for what is hidden.
    """
    params = reason.said.params
    if reason.said.code == "caching":
        return _say_caching([each if sees_task(each["task_id"]) else _NAMELESS for each in params["tasks"]])
    if reason.said.code != "needs_gpus":
        return reason
    ways = [_hide_in_obstacle(each, sight, sees_task) for each in params["obstacles"]]
    return _say_needs(reason.text.partition(": ")[0] + ": ", {**params, "obstacles": ways})


def _hide_in_obstacle(shown: Mapping[str, Any], sight: Sight, sees_task: Callable[[str], bool]) -> Mapping[str, Any]:
    if shown["kind"] in _HOLDERS:
        return shown if sees_task(shown["task_id"]) else {**shown, **_NAMELESS}
    code: ReasonCode | None = shown.get("detail_code")
    if code is None:
        return shown
    # Whom a reason of a GPU names, no task of the queue tells.
    words = hide_in_words(Reason(shown["detail"], code), sight, None)
    return {**shown, "detail": _shorten(text_of(words)), "detail_code": code_of(words)}


def offer_obstacle(gpu: GPUOffer, min_memory: int) -> Obstacle:
    """What keeps a task from a GPU that no other task holds."""
    if not gpu.is_available:
        return Obstacle("status", str(gpu.status), gpu.reason or "")
    if gpu.free_mb is not None and gpu.free_mb < min_memory:
        return Obstacle("too_small", f"{gpu.free_mb:,}")
    return Obstacle("not_known")
