"""What a version of a model came from, and what its file is, as JSON values."""

import re
from collections.abc import Mapping
from typing import Any

from api.models.training_view import SeriesView, TaskDetails, XAxis
from api.models.weights import WeightsFacts

#: How the trainer names the directories of what it saves.
_SAVED = re.compile(r"(epoch|step)(\d{1,9})", re.ASCII)

#: What of a header's metadata is kept beside a version, in characters.
_MOST_METADATA = 4_000


def saved_at(artifact: str) -> tuple[str | None, int | None]:
    """`epoch` or `step` and its number, by the path of a file that the trainer saved; None for any other file."""
    found = next((match for part in artifact.split("/") if (match := _SAVED.fullmatch(part))), None)
    return (None, None) if found is None else (found[1], int(found[2]))


def stem_of(artifact: str) -> str:
    """What of its path belongs into the name of a download: epoch12, or nothing."""
    kind, number = saved_at(artifact)
    return "" if kind is None else f"{kind}{number}"


def value_at(series: SeriesView, number: int) -> float | None:
    """The value of a series at an epoch or a step; None where it has none there."""
    for point in series.data:
        if (point.epoch if series.type is XAxis.EPOCH else point.step) == number:
            return point.value
    return None


def describe_origin(task: TaskDetails, artifact: str, loss: float | None, eval_loss: float | None) -> dict[str, Any]:
    """Where a training's file comes from: enough to make it again."""
    kind, number = saved_at(artifact)
    request = task.request
    return {
        "task_id": task.task_id,
        "task_name": task.name,
        "artifact": artifact,
        "epoch": number if kind == "epoch" else None,
        "step": number if kind == "step" else None,
        "model_type": task.model_type,
        "loss": loss,
        "eval_loss": eval_loss,
        "request": _plain(request),
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def describe_format(facts: WeightsFacts, base_model: str | None) -> dict[str, Any]:
    """What a file is, by its header; `base_model` is what it was trained on, where that is known."""
    adapter, component = facts.adapter, facts.component
    types = sorted({slot.partition(".")[0] for slot in component.slots}) if component is not None else []
    return {
        "kind": adapter.kind.value if adapter is not None else None if component is None else component.kind,
        "rank": None if adapter is None else adapter.rank,
        "dtype": facts.dtype,
        "parameters": facts.parameters,
        "base_model": base_model
        or (adapter.model_type if adapter is not None else types[0] if len(types) == 1 else None),
        "keys": None if adapter is None else adapter.keys,
        "readers": [] if adapter is None else list(adapter.readers),
        "quantisation": None if facts.quantisation is None else facts.quantisation.value,
        "metadata": _few(facts.metadata),
    }


def _few(metadata: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    left = _MOST_METADATA
    for name, value in metadata.items():
        left -= len(name) + len(value)
        if left < 0:
            break
        kept[name] = value
    return kept


def standard_metadata(
    name: str, ordinal: int, origin: Mapping[str, Any], format_: Mapping[str, Any], trigger: str | None
) -> dict[str, str]:
    """What the trainer leaves out of a file, under the keys that programs look for; without what is not known."""
    told = {
        "modelspec.title": f"{name} v{ordinal}",
        "modelspec.trigger_phrase": trigger,
        "ss_output_name": name,
        "ss_base_model_version": format_.get("base_model"),
        "ss_network_dim": format_.get("rank"),
        "ss_network_alpha": format_.get("rank"),  # the trainer's alpha is always the rank
        "ss_epoch": origin.get("epoch"),
        "ss_steps": origin.get("step"),
        "diffusion_pipe.task_id": origin.get("task_id"),
        "diffusion_pipe.dataset": origin.get("dataset"),
    }
    return {key: str(value) for key, value in told.items() if value is not None}
