"""Secrets in parts of a request where no trainer reads them: comments, and addresses with passwords."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from api.domain.training import TrainingRequest
from api.errors import Finding
from api.trainers.environment import split_secrets
from api.trainers.pointers import pointer
from api.trainers.toml_text import mask_comments, values_excess, without_comments
from api.util.masking import has_userinfo, mask_secrets, noted_secrets

#: Most secrets of the request that are searched in its comments, and their least length in characters.
MAX_KNOWN = 16
SHORTEST_KNOWN = 8

_MESSAGE = "An address here contains a user name or password, which would be stored and shown."
_REMEDY = "Remove them from the address; put secrets into `env`."


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
            found += [pointer(name, *path) for path, text in _texts(values, ()) if has_userinfo(text)]
    return [Finding(at, _MESSAGE, _REMEDY) for at in found]


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, (*path, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
