"""Names that others chose for files, as paths below a directory of ours: none leads out of it."""

from pathlib import Path

from api.trainers.downloads.refusal import DownloadRefused

#: Characters of a path and of its parts; a file system takes 255 bytes a part.
_MOST_PATH, _MOST_PART, _MOST_PARTS = 1024, 255, 16


def check_name(name: str) -> str:
    """The name, if it is a plain path below a directory. Raises DownloadRefused."""
    parts = name.split("/")
    is_plain = (
        0 < len(name) <= _MOST_PATH
        and len(parts) <= _MOST_PARTS
        and all(part not in ("", ".", "..") and len(part.encode(errors="replace")) <= _MOST_PART for part in parts)
        and all(character.isprintable() and character != "\\" for character in name)
        and not any(part.startswith((".incoming", "~")) or part.endswith(" ") for part in parts)
    )
    if not is_plain:
        raise DownloadRefused(f"The name {name[:200]!r} of a file leads elsewhere, or cannot be one.")
    return name


def place_below(root: Path, *names: str) -> Path:
    """The path of a file below a root, whose directories are made; no link on the way leads out.

    Raises DownloadRefused, OSError.
    """
    path = root.joinpath(*(check_name(name) for name in names))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise DownloadRefused(f"{'/'.join(names)} would lie outside of the models' directory.")
    return path
