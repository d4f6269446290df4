"""Names downloaded files: a trainer calls all its models alike, and people keep many in one folder."""

import re

#: Characters of a task's name that are used.
MOST = 80

_SAVED = re.compile(r"(?:epoch|step)\d{1,12}", re.ASCII)
_UNFIT = re.compile(r"[^\w.]+")

#: Names that say nothing but that the file is a model.
_PLAIN = frozenset({"adapter_model", "lora", "model", "diffusion_pytorch_model"})


def name_download(task: str, path: str) -> str:
    """`<task>-epoch12.safetensors` for a saved model, the file's own name for everything else. `task`: its name."""
    *directories, name = path.split("/")
    stem, dot, suffix = name.rpartition(".")
    saved = directories[-1] if directories else ""
    if not dot or suffix != "safetensors" or _SAVED.fullmatch(saved) is None:
        return name
    parts = [_fit(task) or "model", saved, *([] if stem in _PLAIN else [_fit(stem)])]
    return "-".join(filter(None, parts)) + f".{suffix}"


def _fit(text: str) -> str:
    """The text as a part of a file's name that every file system and shell takes."""
    return _UNFIT.sub("-", text).strip("-._")[:MOST].strip("-._")


def natural(path: str) -> tuple[tuple[int, str], ...]:
    """A sort key for paths by which `epoch2` comes before `epoch10`."""
    parts = re.split(r"(\d{1,18})", path, flags=re.ASCII)
    return tuple((int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts))
