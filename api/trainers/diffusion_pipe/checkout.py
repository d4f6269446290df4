"""Which commit of the trainer is checked out, by git's own files and without git."""

import re
from contextlib import suppress
from pathlib import Path

#: The file of an attempt's directory that holds the commit with which it began.
COMMIT_FILE = "trainer_commit"

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)
_REF = re.compile(r"refs/[A-Za-z0-9._/\-]{1,200}", re.ASCII)

#: Bytes that are read of a file of git's.
_MOST_BYTES = 1024 * 1024


def read_commit(root: Path) -> str | None:
    """The commit of a checkout; None where there is none, or where it is not told plainly."""
    with suppress(OSError, ValueError):
        git = _find_git(root)
        head = _text(git / "HEAD")
        if not head.startswith("ref: "):
            return _as_commit(head)
        name = head.removeprefix("ref: ")
        if _REF.fullmatch(name) is None or ".." in name:
            return None
        shared = _find_shared(git)
        for place in (git, shared):
            with suppress(FileNotFoundError):
                return _as_commit(_text(place / name))
        return _find_packed(shared, name)
    return None


def is_commit(text: str) -> bool:
    """Whether this is the name of a commit."""
    return _COMMIT.fullmatch(text) is not None


def _find_git(root: Path) -> Path:
    git = root / ".git"
    if git.is_dir():
        return git
    return root / _text(git).removeprefix("gitdir: ")  # of a work tree or a submodule


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
        return file.read(_MOST_BYTES).decode("ascii").strip()


def _as_commit(text: str) -> str | None:
    return text if is_commit(text) else None
