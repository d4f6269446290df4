"""The origin of a saved model's version and the format of its file, as JSON values."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.domain.models.weights import WeightsFacts
from api.trainers.diffusion_pipe.config.checkout import COMMIT_FILE, is_commit, read_recorded
from api.trainers.diffusion_pipe.models.slots import slots_of
from api.training.output.artifacts import saved_at
from api.training.views import SeriesView, TaskDetails, XAxis

#: A reference to a dataset version in a stored request.
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._\-]{0,99})@sha256:([0-9a-f]{64})(?![0-9a-f])", re.ASCII)

#: The limit of metadata from a header that is stored with a version, in characters.
_MAX_METADATA = 4_000


def stem_of(artifact: str) -> str:
    """Return the part of an artifact's path for file names, such as epoch12; may be empty."""
    kind, number = saved_at(artifact)
    return "" if kind is None else f"{kind}{number}"


def value_at(series: SeriesView, number: int) -> float | None:
    """Return the value of a series at an epoch or step; None if there is none."""
    for point in series.data:
        if (point.epoch if series.type is XAxis.EPOCH else point.step) == number:
            return point.value
    return None


def describe_origin(task: TaskDetails, artifact: str, loss: float | None, eval_loss: float | None) -> dict[str, Any]:
    """Return the facts needed to train an artifact again. Unknown facts are None. Never raises OSError."""
    kind, number = saved_at(artifact)
    request = task.request
    datasets = find_datasets(request)
    return {
        "task_id": task.task_id,
        "task_name": task.name,
        "artifact": artifact,
        "epoch": number if kind == "epoch" else None,
        "step": number if kind == "step" else None,
        "model_type": task.model_type,
        "loss": loss,
        "eval_loss": eval_loss,
        "dataset": f"{datasets[0]['name']}@sha256:{datasets[0]['manifest_sha256']}" if len(datasets) == 1 else None,
        "datasets": datasets,
        "trainer": task.trainer,
        "trainer_commit": read_trainer_commit(task, artifact),
        "request": _plain(request),
    }


def find_datasets(request: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the dataset versions of a request by name and manifest hash, without plain directories."""
    found: dict[tuple[str, str], None] = {}
    for text in _texts(request):
        found.update(dict.fromkeys((match[1], match[2]) for match in _PINNED.finditer(text)))
    return [{"name": name, "manifest_sha256": sha256} for name, sha256 in found]


def read_trainer_commit(task: TaskDetails, artifact: str) -> str | None:
    """Return the trainer's commit at the start of the attempt that wrote an artifact; None if unknown."""
    run_dir = artifact.partition("/")[0]
    numbers = [each.number for each in task.attempts if each.run_dir and each.run_dir.rpartition("/")[2] == run_dir]
    if not numbers:
        return None
    # A resumed attempt uses the same directory, perhaps with a newer trainer. Its files are from the latest attempt.
    text = read_recorded(Path(task.output_dir).parent / "attempts" / str(max(numbers)), COMMIT_FILE)
    return text if text is not None and is_commit(text) else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _plain(value: Any) -> Any:
    """Return a value as plain JSON types."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def describe_format(facts: WeightsFacts, base_model: str | None) -> dict[str, Any]:
    """Return the format of a file by its header. `base_model` is the model that it was trained on, if known."""
    adapter, component = facts.adapter, facts.component
    types = sorted({slot.partition(".")[0] for slot in slots_of(component.name)}) if component is not None else []
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
    few: dict[str, str] = {}
    left = _MAX_METADATA
    for name, value in metadata.items():
        left -= len(name) + len(value)
        if left < 0:
            break
        few[name] = value
    return few


def standard_metadata(
    name: str, ordinal: int, origin: Mapping[str, Any], format_: Mapping[str, Any], trigger: str | None
) -> dict[str, str]:
    """Return the metadata that the trainer omits, under the keys that other programs read; only known values."""
    metadata = {
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
    return {key: str(value) for key, value in metadata.items() if value is not None}
