"""The strings of a training request: those that a trainer could use as a path, and secrets that would be stored.

Strings of unknown keys are included, in case the trainer starts to read them. A string that is not a path
does no harm, as it leads to no protected file. Secrets in comments and addresses are of no use to a trainer.
"""

import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.domain.finding import make_finding, pointer
from api.domain.tasks.training import TrainingRequest
from api.errors import Finding, FindingText
from api.trainers.environment import split_secrets
from api.trainers.toml_text import mask_comments, text_excess, values_excess, without_comments
from api.util.text.masking import has_userinfo, mask_secrets, noted_secrets

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


#: Most secrets of the request that are searched in its comments, and their least length in characters.
MAX_KNOWN = 16
SHORTEST_KNOWN = 8


def without_secret_comments(request: TrainingRequest) -> TrainingRequest:
    """Return the request with `***` for secrets in comments of its texts, because comments are stored and shown."""
    texts = request.config_toml, request.dataset_toml
    known = [*split_secrets(request.env)[1].values()]
    known += [value for text in texts for value in noted_secrets(without_comments(text or ""), MAX_KNOWN)]
    # Shorter values would match unrelated text.
    known = [value for value in known if isinstance(value, str) and len(value) >= SHORTEST_KNOWN]
    config, dataset = (text and mask_comments(text, lambda note: mask_secrets(note, known)) for text in texts)
    return replace(request, config_toml=config, dataset_toml=dataset)


def find_userinfo(request: TrainingRequest) -> list[Finding]:
    """Return a finding for each address with a user name or password; masking it would break the trainer."""
    texts = (("config_toml", request.config_toml), ("dataset_toml", request.dataset_toml))
    found = [pointer(name) for name, text in texts if text is not None and has_userinfo(without_comments(text))]
    for name, values in (("config", request.config), ("dataset", request.dataset)):
        if values_excess(values) is None:
            found += [each.pointer for each in texts_in(values, pointer(name)) if has_userinfo(each.text)]
    return [
        make_finding(
            at,
            FindingText(
                "address_with_password",
                "An address here contains a user name or password, which would be stored and shown.",
                "Remove them from the address; put secrets into `env`.",
            ),
        )
        for at in found
    ]
