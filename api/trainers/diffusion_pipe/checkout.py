"""Reads the checked-out commit of the trainer from git's files, without git."""

import re
from contextlib import suppress
from pathlib import Path

#: The file in an attempt's directory that stores the trainer's commit at its start.
COMMIT_FILE = "trainer_commit"

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)
_REF = re.compile(r"refs/[A-Za-z0-9._/\-]{1,200}", re.ASCII)

#: Most bytes read of one of git's files.
_MAX_BYTES = 1024 * 1024


def read_commit(root: Path) -> str | None:
    """Return the commit of a checkout, or None if there is none or it cannot be determined."""
    with suppress(OSError, ValueError):
        git = _find_git(root)
        head = _text(git / "HEAD")
        if not head.startswith("ref: "):
            return _as_commit(head)
        name = head.removeprefix("ref: ")
        if _REF.fullmatch(name) is None or ".." in name:
            return None
        shared = _find_shared(git)
        for directory in (git, shared):
            with suppress(FileNotFoundError):
                return _as_commit(_text(directory / name))
        return _find_packed(shared, name)
    return None


def is_commit(text: str) -> bool:
    """Return whether the text is a full commit hash."""
    return _COMMIT.fullmatch(text) is not None


def _find_git(root: Path) -> Path:
    git = root / ".git"
    if git.is_dir():
        return git
    return root / _text(git).removeprefix("gitdir: ")  # for a work tree or a submodule


def _find_shared(git: Path) -> Path:
    try:
        return git / _text(git / "commondir")
    except FileNotFoundError:
        return git


def _find_packed(git: Path, name: str) -> str | None:
    for line in _text(git / "packed-refs").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return _as_commit(commit)
    return None


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES).decode("ascii").strip()


def _as_commit(text: str) -> str | None:
    return text if is_commit(text) else None
