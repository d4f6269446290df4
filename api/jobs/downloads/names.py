"""Names that others chose for files, as paths below a directory of ours: none leads out of it."""

from pathlib import Path

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.downloads.refusal import DownloadRefused

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
        raise DownloadRefused(
            Reason.of(
                "The name {name} of a file leads elsewhere, or cannot be one.",
                "download_bad_name",
                name=repr(name[:200]),
            ),
            CauseCode.REFUSED_FILE,
        )
    return name


def read_count(text: str, digits: int = 18) -> int | None:
    """A count that others have written; None where it is none, or one of more digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def place_below(root: Path, *names: str) -> Path:
    """The path of a file below a root, whose directories are made; no link on the way leads out.

    Raises DownloadRefused, OSError.
    """
    path, inside = root.joinpath(*(check_name(name) for name in names)), root.resolve()
    there = next(each for each in path.parents if each.exists() or each.is_symlink() or each == root)
    # Looked at before anything is made, and again afterwards.
    for _ in range(2):
        if not there.resolve().is_relative_to(inside):
            raise DownloadRefused(
                Reason.of(
                    "{name} would lie outside of the models' directory.", "download_outside", name="/".join(names)
                ),
                CauseCode.REFUSED_FILE,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.parent
    return path
