"""Walks and removes directories that a trainer can write to: without following a link, and in bounded time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

from api.util.files.foreign_files import MAX_NAMES, OWN_LEVELS, TROUBLE, ForeignFile, entries, open_directory, remove_at

#: Maximum depth of a walk; a trainer's own directories have a handful of levels.
MAX_DEPTH = 32


def list_names(path: str, levels: int = OWN_LEVELS, most: int = MAX_NAMES) -> tuple[list[str], list[str]]:
    """Return the names of the directories and of the regular files in a directory.

    At most `most` entries are read; the lists are empty if there is no such directory. Raises OSError if it cannot be
    read, so that its content is unknown.
    """
    directories: list[str] = []
    files: list[str] = []
    handle = _open(path, levels)
    if handle is None:
        return directories, files
    try:
        for entry in entries(handle, most):
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            elif entry.is_file(follow_symlinks=False):
                files.append(entry.name)
    finally:
        os.close(handle)
    return directories, files


def _open(path: str, levels: int) -> int | None:
    """Return a handle of the directory; None if it does not exist."""
    try:
        return open_directory(path, levels)
    except (FileNotFoundError, ForeignFile):
        return None


def walk(path: str, levels: int = OWN_LEVELS, most: int = MAX_NAMES) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the relative path and the status of each regular file below a directory, from at most `most` entries.

    Entries that are inaccessible or disappear are left out. Raises OSError if the disk is in trouble.
    """
    root = _open(path, levels)
    if root is None:
        return
    try:
        pending: list[tuple[str, ...]] = [()]
        while pending and most > 0:
            parts = pending.pop()
            for is_directory, name, status in _scan(root, parts, most):
                most -= 1
                if is_directory and len(parts) < MAX_DEPTH:
                    pending.append((*parts, name))
                elif status is not None:
                    yield "/".join((*parts, name)), status
    finally:
        os.close(root)


def _scan(root: int, parts: tuple[str, ...], most: int) -> Iterator[tuple[bool, str, os.stat_result | None]]:
    """Yield for each entry whether it is a directory, its name, and the status of a regular file."""
    try:
        handle = _enter(root, parts)
    except OSError as error:
        _ignore_unless_trouble(error)
        return
    try:
        for entry in entries(handle, most):
            try:
                is_file = entry.is_file(follow_symlinks=False)
                status = entry.stat(follow_symlinks=False) if is_file else None
            except OSError as error:
                _ignore_unless_trouble(error)
                continue
            yield entry.is_dir(follow_symlinks=False), entry.name, status
    except OSError as error:
        _ignore_unless_trouble(error)
    finally:
        os.close(handle)


def _ignore_unless_trouble(error: OSError) -> None:
    """Raise the error again if the disk, not the file, is in trouble."""
    if error.errno in TROUBLE:
        raise error


def _enter(root: int, parts: tuple[str, ...]) -> int:
    handle = os.dup(root)
    try:
        for part in parts:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = below
    except OSError:
        os.close(handle)
        raise
    return handle


def remove_tree(path: str, levels: int = OWN_LEVELS) -> None:
    """Delete a directory with its content, or a link itself. What cannot be deleted stays."""
    try:
        directory = open_directory(os.path.dirname(path), levels)
    except OSError:
        return
    try:
        remove_tree_at(directory, os.path.basename(path))
    finally:
        os.close(directory)


def remove_tree_at(directory: int, name: str) -> None:
    """Delete a name in an open directory, as `remove_tree` does."""
    # Before Python 3.13, rmtree cannot go a thousand levels deep. With `dir_fd` it follows no link.
    with suppress(RecursionError):
        shutil.rmtree(name, ignore_errors=True, dir_fd=directory)
    remove_at(directory, name)
