"""Where a request for a training names datasets, in either of its two forms; and the same request with others there."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.domain.training import TrainingRequest
from api.errors import Mistake
from api.trainers.toml_edit import Path, edit
from api.trainers.toml_text import text_excess

#: The key of a directory that names a dataset, in place of its path.
KEY = "dataset"

_ONE = "Give the dataset's name, or a `path`."


@dataclass(frozen=True, slots=True)
class RequestedDataset:
    """A directory of a request that is a named dataset."""

    index: int
    pointer: str  #: to the directory
    reference: str
    given: Mapping[str, Any]  #: everything that the request says of the directory


def find_datasets(request: TrainingRequest) -> tuple[list[RequestedDataset], list[Mistake]]:
    """The directories that are named datasets, and what is wrong with how they are named."""
    found: list[RequestedDataset] = []
    mistakes: list[Mistake] = []
    at, directories = _directories(request)
    for index, directory in enumerate(directories):
        if not isinstance(directory, Mapping) or KEY not in directory:
            continue
        pointer, reference = f"{at}/{index}", directory[KEY]
        if not isinstance(reference, str):
            mistakes.append(Mistake(f"{pointer}/{KEY}", "This is no text.", 'Write "name", or "name@3".'))
        elif "path" in directory:
            mistakes.append(Mistake(f"{pointer}/{KEY}", "The directory has both `dataset` and `path`.", _ONE))
        else:
            found.append(RequestedDataset(index, pointer, reference, directory))
    return found, mistakes


def find_paths(request: TrainingRequest) -> Iterator[tuple[str, str]]:
    """The files and directories that the directories of a request name by path: each with a pointer to it."""
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
    # What is wrong with the text the trainer's own check says.
    if sought not in text or text_excess(text) is not None:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def rewrite(request: TrainingRequest, values: Mapping[int, Mapping[str, Any]]) -> TrainingRequest | None:
    """The request with these values in its directories, by their index; None takes a key away. None when its text
    cannot be edited.
    """
    if not values:
        return request
    if request.dataset_toml is None:
        return _rewrite_structured(request, values)
    flat: dict[Path, Any] = {
        ("directory", index, key): value for index, each in values.items() for key, value in each.items()
    }
    removed = [path for path, value in flat.items() if value is None]
    kept = {path: value for path, value in flat.items() if value is not None}
    text = edit(request.dataset_toml, kept, removed)
    return None if text is None else replace(request, dataset_toml=text)


def _rewrite_structured(request: TrainingRequest, values: Mapping[int, Mapping[str, Any]]) -> TrainingRequest:
    key = "directories" if "directories" in request.dataset else "directory"
    directories = list(request.dataset[key])
    for index, changes in values.items():
        merged = {**directories[index], **changes}
        directories[index] = {name: value for name, value in merged.items() if value is not None}
    return replace(request, dataset={**request.dataset, key: directories})
