"""Read the trainer's checkout: files, and the commit from git's files without git. Nothing is executed."""

import ast
import re
import warnings
from contextlib import suppress
from pathlib import Path

from api.util.files.foreign_files import read
from api.util.files.outside_files import open_regular

#: Most bytes of a source file. The parser needs a hundred times as much memory, and blocks other threads.
_MAX_SOURCE_BYTES = 1024 * 1024


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file. Raise OSError, and ValueError for a file of more than `most` bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most} bytes")
    return content


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a source file. Raise OSError, SyntaxError or ValueError."""
    # The parser would print its warnings about the source between the lines of the service's log.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="<unknown>")
    try:
        return ast.parse(read_bytes(path, _MAX_SOURCE_BYTES))
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"{path} is nested too deeply") from error


#: The files in an attempt's directory that store the trainer's commit and its version of torch at the start.
COMMIT_FILE, TORCH_FILE = "trainer_commit", "trainer_torch"

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)
_REF = re.compile(r"refs/[A-Za-z0-9._/\-]{1,200}", re.ASCII)

#: Most bytes read of one of git's files.
_MAX_BYTES = 1024 * 1024

#: Most bytes read of a file of an attempt.
_MAX_RECORDED_BYTES = 200


def read_commit(root: Path) -> str | None:
    """Return the commit of a checkout, or None if there is none or it cannot be determined."""
    with suppress(OSError, ValueError):
        git = find_git_directory(root)
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


def read_recorded(attempt: Path, name: str) -> str | None:
    """Return the value that an attempt recorded in its directory under this name, or None. Never raises OSError."""
    with suppress(OSError, UnicodeDecodeError):
        text = read(str(attempt / name), _MAX_RECORDED_BYTES, levels=3).decode("ascii").strip()
        return text if text and text.isprintable() else None
    return None


def is_commit(text: str) -> bool:
    """Return whether the text is a full commit hash."""
    return _COMMIT.fullmatch(text) is not None


def find_git_directory(root: Path) -> Path:
    """Return the directory with git's files of a checkout, a work tree or a submodule. Raise OSError, ValueError."""
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
    return read_bytes(path, _MAX_BYTES).decode("ascii").strip()


def _as_commit(text: str) -> str | None:
    return text if is_commit(text) else None
