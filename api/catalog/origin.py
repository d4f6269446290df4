"""What a version of a model came from, and what its file is, as JSON values."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from api.domain.weights import WeightsFacts
from api.trainers.diffusion_pipe.checkout import COMMIT_FILE, is_commit
from api.training.views import SeriesView, TaskDetails, XAxis
from api.util.foreign_files import read

#: How the trainer names the directories of what it saves.
_SAVED = re.compile(r"(epoch|step)(\d{1,9})", re.ASCII)

#: A named dataset as a request is kept with it.
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._\-]{0,99})@sha256:([0-9a-f]{64})(?![0-9a-f])", re.ASCII)

#: Bytes of the file that names a commit.
_MOST_COMMIT = 200

#: What of a header's metadata is kept beside a version, in characters.
_MOST_METADATA = 4_000


def saved_at(artifact: str) -> tuple[str | None, int | None]:
    """`epoch` or `step` and its number, by the path of a file that the trainer saved; None for any other file."""
    found = next((match for part in artifact.split("/") if (match := _SAVED.fullmatch(part))), None)
    return (None, None) if found is None else (found[1], int(found[2]))


def stem_of(artifact: str) -> str:
    """The part of its path that belongs in the name of a download, such as epoch12; or nothing."""
    kind, number = saved_at(artifact)
    return "" if kind is None else f"{kind}{number}"


def value_at(series: SeriesView, number: int) -> float | None:
    """The value of a series at an epoch or a step; None where it has none there."""
    for point in series.data:
        if (point.epoch if series.type is XAxis.EPOCH else point.step) == number:
            return point.value
    return None


def describe_origin(task: TaskDetails, artifact: str, loss: float | None, eval_loss: float | None) -> dict[str, Any]:
    """Where a training's file comes from: enough to make it again. What is not known is None. Raises no OSError."""
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
    """The named datasets that a request trains on, with the hashes of their manifests; without directories."""
    found: dict[tuple[str, str], None] = {}
    for text in _texts(request):
        found.update(dict.fromkeys((match[1], match[2]) for match in _PINNED.finditer(text)))
    return [{"name": name, "manifest_sha256": sha256} for name, sha256 in found]


def read_trainer_commit(task: TaskDetails, artifact: str) -> str | None:
    """The commit of the trainer with which the attempt began that made a file; None where that is not known."""
    run_dir = artifact.partition("/")[0]
    numbers = [each.number for each in task.attempts if each.run_dir and each.run_dir.rpartition("/")[2] == run_dir]
    if not numbers:
        return None
    # An attempt that goes on in the same directory may have a newer trainer: what it saves is of the latest.
    place = Path(task.output_dir).parent / "attempts" / str(max(numbers)) / COMMIT_FILE
    with suppress(OSError, UnicodeDecodeError):
        text = read(str(place), _MOST_COMMIT, levels=3).decode("ascii").strip()
        return text if is_commit(text) else None
    return None


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
