"""Every text of a request for a training that a trainer could take for a path.

All texts count, not only those of known keys: a key that the trainer learns to read tomorrow is covered today, and a
text that is no path leads to nothing that is protected.
"""

import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.training import TrainingRequest
from api.trainers.pointers import pointer
from api.trainers.toml_text import text_excess

#: Keys of a configuration that the service replaces before the trainer sees them.
REPLACED = ("output_dir", "dataset", "resume_from_checkpoint")


@dataclass(frozen=True, slots=True)
class RequestText:
    """A text of a request. Of a dataset the trainer also writes into the directory that it reads."""

    pointer: str
    text: str
    is_of_dataset: bool = False


def list_texts(request: TrainingRequest) -> Iterator[RequestText]:
    """Every text of the configuration, the dataset and the environment, with a pointer to it."""
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
    """Every text in nested values."""
    pending = deque([(at, values)])
    while pending:
        place, value = pending.popleft()
        if isinstance(value, str):
            yield RequestText(place, value, is_of_dataset)
        elif isinstance(value, Mapping):
            pending.extend((place + pointer(key), child) for key, child in value.items())
        elif isinstance(value, list | tuple):
            pending.extend((place + pointer(index), child) for index, child in enumerate(value))


def parse(text: str) -> Mapping[str, Any]:
    """The values of a TOML text; none of one that the trainers' checks refuse unread."""
    if text_excess(text) is not None:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}
