"""The toy's two forms of a configuration, read within the bounds of every trainer."""

import tomllib
from collections.abc import Mapping
from typing import Any

from api.trainers.pointers import shown
from api.trainers.toml_text import text_excess, values_excess


def read_values(values: Mapping[str, Any], text: str | None) -> Mapping[str, Any]:
    """The values of the structured form, or of the TOML text. Raises ValueError with what is wrong, as a sentence."""
    if text is not None:
        _refuse(text_excess(text))
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not TOML: {shown(error)}.") from None
    _refuse(values_excess(values))
    return values


def _refuse(excess: str | None) -> None:
    if excess is not None:
        raise ValueError(excess)
