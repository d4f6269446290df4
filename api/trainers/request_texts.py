"""All strings of a training request that a trainer could use as a path.

Strings of unknown keys are included, in case the trainer starts to read them. A string that is not a path
does no harm, as it leads to no protected file.
"""

import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.training import TrainingRequest
from api.trainers.pointers import pointer
from api.trainers.toml_text import text_excess

#: Keys of a configuration that the service replaces before the trainer reads them.
REPLACED = ("output_dir", "dataset", "resume_from_checkpoint")


@dataclass(frozen=True, slots=True)
class RequestText:
    """A string of a request. The trainer also writes into the directories of a dataset."""

    pointer: str
    text: str
    is_of_dataset: bool = False


def list_texts(request: TrainingRequest) -> Iterator[RequestText]:
    """Yield every string of the configuration, the dataset and the environment, with a pointer to it."""
    for at, values, text in (
        ("/config", request.config, None),
        ("/config_toml", {}, request.config_toml),
        ("/dataset", request.dataset, None),
        ("/dataset_toml", {}, request.dataset_toml),
    ):
        is_of_dataset = at.startswith("/dataset")
        given = values if text is None else parse(text)
        if not is_of_dataset and isinstance(given, Mapping):
            given = {key: value for key, value in given.items() if key not in REPLACED}
        yield from texts_in(given, at, is_of_dataset=is_of_dataset)
    yield from texts_in(request.env, "/env")


def texts_in(values: Any, at: str, *, is_of_dataset: bool = False) -> Iterator[RequestText]:
    """Yield every string in nested values."""
    pending = deque([(at, values)])
    while pending:
        location, value = pending.popleft()
        if isinstance(value, str):
            yield RequestText(location, value, is_of_dataset)
        elif isinstance(value, Mapping):
            pending.extend((location + pointer(key), child) for key, child in value.items())
        elif isinstance(value, list | tuple):
            pending.extend((location + pointer(index), child) for index, child in enumerate(value))


def parse(text: str) -> Mapping[str, Any]:
    """Return the values of a TOML text; empty if it is invalid or exceeds the limits of a check."""
    if text_excess(text) is not None:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}
