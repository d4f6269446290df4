"""Reduces any value to a small and safe one: plain JSON, secrets masked, long texts and lists cut."""

import hashlib
from typing import Any

import orjson

from api.util.masking import MASK, is_secret_name, mask_secrets

#: Maximum size of a value in bytes of JSON.
MAX_BYTES = 16 * 1024

#: Maximum numbers of characters of a text, of values of a list or an object, and of levels of nesting.
MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 500, 64, 12

#: Characters that are searched for secrets before a text is cut, so that no secret is cut.
_SEARCHED_CHARACTERS = 4 * MAX_CHARACTERS

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS


def shorten(value: Any) -> Any:
    """Return the value as JSON of at most MAX_BYTES.

    A larger value is replaced by its size and SHA-256. None stays None.
    """
    if value is None:
        return None
    whole = orjson.dumps(value, option=_OPTIONS, default=str)
    short = _shorten(orjson.loads(whole), MAX_DEPTH)
    if len(orjson.dumps(short)) > MAX_BYTES:
        return {"left_out_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    return short


def _shorten(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return shorten_text(value, MAX_CHARACTERS)
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, list):
        short = [_shorten(each, depth - 1) for each in value[:MAX_VALUES]]
        return short if len(value) <= MAX_VALUES else [*short, f"… and {len(value) - MAX_VALUES} more"]
    shown = {
        shorten_text(name, MAX_CHARACTERS): MASK
        if is_secret_name(name) and each is not None
        else _shorten(each, depth - 1)
        for name, each in list(value.items())[:MAX_VALUES]
    }
    return shown if len(value) <= MAX_VALUES else {**shown, "…": f"{len(value) - MAX_VALUES} more"}


def shorten_text(text: str, characters: int) -> str:
    """Return the text with secrets masked, cut to this many characters, in a form that every database accepts."""
    shown = mask_secrets(text[:_SEARCHED_CHARACTERS]).replace("\0", "\N{REPLACEMENT CHARACTER}")
    shown = shown.encode(errors="replace").decode()
    return shown if len(shown) <= characters and len(text) <= _SEARCHED_CHARACTERS else shown[: characters - 1] + "…"
