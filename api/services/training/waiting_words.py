"""Why a task waits, in words that stay short however many GPUs there are. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.models.gpu import GPUOffer
from api.models.reason import Reason, ReasonCode, Words, code_of, text_of
from api.models.training import TaskSummary

#: The most groups of GPUs that are named, as many as fit two lines; the rest is counted.
MOST_GROUPS = 3
#: Characters of a GPU's own reason that are shown, as several may stand in one sentence.
LONGEST_REASON = 70


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why one GPU cannot serve: `kind` is a stable word, `what` what it is about; equal ones are said together."""

    kind: str
    what: str = ""
    detail: Words = ""


def needs_gpus(
    task: TaskSummary, obstacles: Sequence[tuple[int, Obstacle]], absent: Sequence[str], names: Mapping[str, str]
) -> Reason:
    """The reason that a task is short of GPUs: what is in the way of each, and which are `absent` from the machine."""
    groups: dict[tuple[str, str], list[tuple[int, Obstacle]]] = {}
    for index, found in obstacles:
        groups.setdefault((found.kind, found.what), []).append((index, found))
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0][0]))
    rest = sum(len(group) for group in ordered[MOST_GROUPS:])
    shown = [_show(group, names) for group in ordered[:MOST_GROUPS]]
    said = [f"{_name(each['gpus'])} {_words(each)}" for each in shown]
    said += [f"{rest} more cannot be had either"] if rest else []
    said += [f"GPU {name} is not there" for name in absent[:MOST_GROUPS]]
    params = {
        "gpus": _references(task),
        "gpu_count": task.gpu_count,
        "min_memory": task.gpus.min_memory,
        "obstacles": shown,
        "more": rest,
        "absent": list(absent[:MOST_GROUPS]),
    }
    text = f"needs {describe_wish(task)}: {', '.join(said) or 'there are too few'}"
    return Reason(text, ReasonCode("needs_gpus", params))


def _show(group: Sequence[tuple[int, Obstacle]], names: Mapping[str, str]) -> dict[str, Any]:
    first = group[0][1]
    details = {text_of(found.detail): found.detail for _, found in group}
    shown: dict[str, Any] = {"kind": first.kind, "gpus": ranges(sorted(index for index, _ in group))}
    shown["is_one"] = len(group) == 1
    if first.kind in ("held_by", "kept_for", "goes_to"):
        return shown | {"task_id": first.what, "name": names.get(first.what)}
    # What differs from GPU to GPU stands on the page of each.
    text, detail = details.popitem() if len(details) == 1 else ("", "")
    return shown | {"what": first.what, "detail": _shorten(text), "detail_code": code_of(detail)}


def _name(gpus: str) -> str:
    return f"GPU {gpus}" if gpus.isdigit() else f"GPUs {gpus}"


def _words(shown: Mapping[str, Any]) -> str:
    verb, holder = "is" if shown["is_one"] else "are", shown.get("name") or shown.get("task_id")
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
    return f"{verb} not known well enough"


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in their order, those that follow each other as a range: 0–5, 8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in _few(runs))


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
    named = [{"task_id": holder, "name": names.get(holder)} for holder in holders]
    who = ", ".join(names.get(holder) or holder for holder in holders)
    verb = "are" if len(holders) > 1 else "is"
    return Reason(f"{who} {verb} caching the same dataset directory", ReasonCode("caching", {"tasks": named}))


def offer_obstacle(gpu: GPUOffer, min_memory: int) -> Obstacle:
    """What keeps a task from a GPU that no other task holds."""
    if not gpu.is_available:
        return Obstacle("status", str(gpu.status), gpu.reason or "")
    if gpu.free_mb is not None and gpu.free_mb < min_memory:
        return Obstacle("too_small", f"{gpu.free_mb:,}")
    return Obstacle("not_known")
