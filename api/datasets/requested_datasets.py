"""Find the datasets that a training request names, in either of its two forms, and replace them."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.domain.training import TrainingRequest
from api.errors import Finding
from api.trainers.toml_edit import Path, edit
from api.trainers.toml_text import text_excess

#: The key that names a dataset in a directory of a request, in place of `path`.
KEY = "dataset"

_ONE = "Set either `dataset` or `path`."


@dataclass(frozen=True, slots=True)
class RequestedDataset:
    """A directory of a request that is a named dataset."""

    index: int
    pointer: str  #: JSON pointer to the directory
    reference: str
    given: Mapping[str, Any]  #: all values of the directory in the request


def find_datasets(request: TrainingRequest) -> tuple[list[RequestedDataset], list[Finding]]:
    """Return the directories that name datasets, and the errors in them."""
    found: list[RequestedDataset] = []
    mistakes: list[Finding] = []
    at, directories = _directories(request)
    for index, directory in enumerate(directories):
        if not isinstance(directory, Mapping) or KEY not in directory:
            continue
        pointer, reference = f"{at}/{index}", directory[KEY]
        if not isinstance(reference, str):
            mistakes.append(Finding(f"{pointer}/{KEY}", "The value is not a string.", 'Use "name" or "name@3".'))
        elif "path" in directory:
            mistakes.append(Finding(f"{pointer}/{KEY}", "The directory has both `dataset` and `path`.", _ONE))
        else:
            found.append(RequestedDataset(index, pointer, reference, directory))
    return found, mistakes


def find_paths(request: TrainingRequest) -> Iterator[tuple[str, str]]:
    """Yield the paths in the directories of a request: a JSON pointer and the path."""
    at, directories = _directories(request, "path")
    for index, directory in enumerate(directories):
        if isinstance(directory, Mapping):
            for key, value in directory.items():
                if key.endswith("path") and isinstance(value, str):
                    yield f"{at}/{index}/{key}", value


def _directories(request: TrainingRequest, sought: str = KEY) -> tuple[str, list[Any]]:
    if request.dataset_toml is not None:
        values = _parse(request.dataset_toml, sought)
        key, at = "directory", "/dataset_toml/directory"
    else:
        values = request.dataset if isinstance(request.dataset, Mapping) else {}
        key = "directories" if "directories" in values else "directory"
        at = f"/dataset/{key}"
    found = values.get(key)
    return at, list(found) if isinstance(found, list | tuple) else []


def _parse(text: str, sought: str) -> Mapping[str, Any]:
    # The trainer's own check reports errors in the text.
    if sought not in text or text_excess(text) is not None:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def rewrite(request: TrainingRequest, values: Mapping[int, Mapping[str, Any]]) -> TrainingRequest | None:
    """Return the request with these values in its directories, by index; the value None removes a key.

    Returns None if the request's text cannot be edited.
    """
    if not values:
        return request
    if request.dataset_toml is None:
        return _rewrite_structured(request, values)
    flat: dict[Path, Any] = {
        ("directory", index, key): value for index, each in values.items() for key, value in each.items()
    }
    removed = [path for path, value in flat.items() if value is None]
    changed = {path: value for path, value in flat.items() if value is not None}
    text = edit(request.dataset_toml, changed, removed)
    return None if text is None else replace(request, dataset_toml=text)


def _rewrite_structured(request: TrainingRequest, values: Mapping[int, Mapping[str, Any]]) -> TrainingRequest:
    key = "directories" if "directories" in request.dataset else "directory"
    directories = list(request.dataset[key])
    for index, changes in values.items():
        merged = {**directories[index], **changes}
        directories[index] = {name: value for name, value in merged.items() if value is not None}
    return replace(request, dataset={**request.dataset, key: directories})
