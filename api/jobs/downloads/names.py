"""Checks of foreign file names, so that no path leads out of the models' directory."""

from pathlib import Path

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.errors import JobFailed

#: The limits of a path in characters, of a component in bytes (as in file systems), and of components.
_MAX_PATH, _MAX_COMPONENT, _MAX_COMPONENTS = 1024, 255, 16


def check_name(name: str) -> str:
    """Return the name if it is a plain path below a directory. Raises JobFailed."""
    parts = name.split("/")
    is_plain = (
        0 < len(name) <= _MAX_PATH
        and len(parts) <= _MAX_COMPONENTS
        and all(part not in ("", ".", "..") and len(part.encode(errors="replace")) <= _MAX_COMPONENT for part in parts)
        and all(character.isprintable() and character != "\\" for character in name)
        and not any(part.startswith((".incoming", "~")) or part.endswith(" ") for part in parts)
    )
    if not is_plain:
        raise JobFailed(
            Reason.of(
                "The file name {name} is invalid or leads out of the directory.",
                "download_bad_name",
                name=repr(name[:200]),
            ),
            CauseCode.REFUSED_FILE,
        )
    return name


def read_count(text: str, digits: int = 18) -> int | None:
    """Return a count in a foreign text; None if it is invalid or has more digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def path_below(root: Path, *names: str) -> Path:
    """Return the path of a file below a root, and create its directories. Symbolic links must not lead out.

    Raises JobFailed, OSError.
    """
    path, inside = root.joinpath(*(check_name(name) for name in names)), root.resolve()
    existing = next(each for each in path.parents if each.exists() or each.is_symlink() or each == root)
    # Checked before directories are created, and again afterwards.
    for _ in range(2):
        if not existing.resolve().is_relative_to(inside):
            raise JobFailed(
                Reason.of(
                    "{name} would be outside of the models' directory.", "download_outside", name="/".join(names)
                ),
                CauseCode.REFUSED_FILE,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        existing = path.parent
    return path
