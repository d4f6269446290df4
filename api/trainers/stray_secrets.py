"""Secrets that stand in a configuration where nothing reads them: in its comments, and in the addresses in it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from api.domain.training import TrainingRequest
from api.errors import Mistake
from api.trainers.environment import split_secrets
from api.trainers.pointers import pointer
from api.trainers.toml_text import mask_comments, values_excess, without_comments
from api.util.masking import has_userinfo, mask_secrets, noted_secrets

#: How many secrets of the request itself are looked for in its comments, and how long they must be.
MOST_KNOWN = 16
SHORTEST_KNOWN = 8

_MESSAGE = "An address here holds a user name or a password, which would be kept and shown."
_REMEDY = "Write it without them; what is secret goes into `env`."


def without_secret_comments(request: TrainingRequest) -> TrainingRequest:
    """The request with *** for the secrets in the comments of its texts: those are kept, written and shown."""
    texts = request.config_toml, request.dataset_toml
    known = [*split_secrets(request.env)[1].values()]
    known += [value for text in texts for value in noted_secrets(without_comments(text or ""), MOST_KNOWN)]
    # Shorter ones would be found everywhere.
    known = [value for value in known if isinstance(value, str) and len(value) >= SHORTEST_KNOWN]
    config, dataset = (text and mask_comments(text, lambda note: mask_secrets(note, known)) for text in texts)
    return replace(request, config_toml=config, dataset_toml=dataset)


def find_userinfo(request: TrainingRequest) -> list[Mistake]:
    """Where an address holds a user name or a password; it cannot be masked, since the trainer would use it."""
    texts = (("config_toml", request.config_toml), ("dataset_toml", request.dataset_toml))
    found = [pointer(name) for name, text in texts if text is not None and has_userinfo(without_comments(text))]
    for name, values in (("config", request.config), ("dataset", request.dataset)):
        if values_excess(values) is None:
            found += [pointer(name, *path) for path, text in _texts(values, ()) if has_userinfo(text)]
    return [Mistake(at, _MESSAGE, _REMEDY) for at in found]


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, (*path, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
