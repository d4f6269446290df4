"""The dataset file that an attempt reads, in the same format for every trainer."""

from collections.abc import Mapping
from typing import Any

from api.trainers.toml_edit import write

DATASET = "dataset.toml"


def write_dataset(text: str | None, values: Mapping[str, Any]) -> str | None:
    """Return the request's TOML text, or its values as TOML with `directory` instead of `directories`.

    Return None if the trainer's parser cannot read the values.
    """
    if text is not None:
        return text
    return write({"directory" if name == "directories" else name: value for name, value in values.items()})
