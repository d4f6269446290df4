"""Reads the toy's configuration in either form, within the limits that apply to every trainer."""

import tomllib
from collections.abc import Mapping
from typing import Any

from api.trainers.pointers import shown
from api.trainers.toml_text import text_excess, values_excess


def read_values(values: Mapping[str, Any], text: str | None) -> Mapping[str, Any]:
    """Return the values of the structured form or of the TOML text. Raise ValueError with a sentence as the message."""
    if text is not None:
        _reject(text_excess(text))
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not TOML: {shown(error)}.") from None
    _reject(values_excess(values))
    return values


def _reject(excess: str | None) -> None:
    if excess is not None:
        raise ValueError(excess)
