"""The trainer's dataset.toml of a version."""

from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit

#: Default resolutions in pixels.
DEFAULT_RESOLUTIONS = (512,)


def write_dataset_toml(
    directory: Mapping[str, Any],
    resolutions: Sequence[Any] = (),
    frame_buckets: Sequence[int] = (),
    num_repeats: int | None = None,
) -> str:
    """Return the text of the file.

    `directory` locates the items: `dataset` or `path`, and the directories beside it.
    """
    document = tomlkit.document()
    document["resolutions"] = _uniform(resolutions or DEFAULT_RESOLUTIONS)
    document["enable_ar_bucket"] = True
    document["min_ar"], document["max_ar"], document["num_ar_buckets"] = 0.5, 2.0, 7
    if frame_buckets:
        document["frame_buckets"] = list(frame_buckets)
    own = tomlkit.table()
    for name, value in directory.items():
        if value is not None:
            own[name] = value
    if num_repeats is not None:
        own["num_repeats"] = num_repeats
    tables = tomlkit.aot()
    tables.append(own)
    document["directory"] = tables
    return tomlkit.dumps(document)


def _uniform(resolutions: Sequence[Any]) -> list[Any]:
    """Return only sides or only pairs of sides: the trainer's parser rejects mixed lists."""
    if all(isinstance(each, int) for each in resolutions):
        return list(resolutions)
    return [[each, each] if isinstance(each, int) else list(each) for each in resolutions]
