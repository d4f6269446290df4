"""Directories that a trainer can write to: walked and removed without following a link, and not without end."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress

from api.util.foreign_files import MAX_NAMES, OWN_LEVELS, TROUBLE, ForeignFile, entries, open_directory, remove_at

#: Levels of directories that are walked; a trainer's own are a handful deep.
MAX_DEPTH = 32


def list_names(path: str, levels: int = OWN_LEVELS, most: int = MAX_NAMES) -> tuple[list[str], list[str]]:
    """The names of the directories and of the regular files in a directory, from `most` entries at most; none where
    there is no such directory. Raises OSError where it cannot be read, and so may hold anything.
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
    """The directory; None where there is none."""
    try:
        return open_directory(path, levels)
    except (FileNotFoundError, ForeignFile):
        return None


def walk(path: str, levels: int = OWN_LEVELS, most: int = MAX_NAMES) -> Iterator[tuple[str, os.stat_result]]:
    """The path below a directory, and the status, of each regular file in it, from `most` entries at most.

    What is closed to us below it, or goes away meanwhile, is left out. Raises OSError where the disk is in trouble.
    """
    root = _open(path, levels)
    if root is None:
        return
    try:
        pending: list[tuple[str, ...]] = [()]
        while pending and most > 0:
            parts = pending.pop()
            for is_directory, name, status in _look(root, parts, most):
                most -= 1
                if is_directory and len(parts) < MAX_DEPTH:
                    pending.append((*parts, name))
                elif status is not None:
                    yield "/".join((*parts, name)), status
    finally:
        os.close(root)


def _look(root: int, parts: tuple[str, ...], most: int) -> Iterator[tuple[bool, str, os.stat_result | None]]:
    """For each entry whether it is a directory, its name, and for a regular file its status."""
    try:
        handle = _enter(root, parts)
    except OSError as error:
        _leave_out(error)
        return
    try:
        for entry in entries(handle, most):
            try:
                is_file = entry.is_file(follow_symlinks=False)
                status = entry.stat(follow_symlinks=False) if is_file else None
            except OSError as error:
                _leave_out(error)
                continue
            yield entry.is_dir(follow_symlinks=False), entry.name, status
    except OSError as error:
        _leave_out(error)
    finally:
        os.close(handle)


def _leave_out(error: OSError) -> None:
    """Raises the error again where the disk, not the file, is in trouble."""
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
    """Removes a directory with what is in it, or the link itself; what cannot be removed stays."""
    try:
        directory = open_directory(os.path.dirname(path), levels)
    except OSError:
        return
    try:
        remove_tree_at(directory, os.path.basename(path))
    finally:
        os.close(directory)


def remove_tree_at(directory: int, name: str) -> None:
    """What `remove_tree` does, by name in an open directory."""
    # Before Python 3.13 it cannot go a thousand directories deep. It follows no link where there is `dir_fd`, as here.
    with suppress(RecursionError):
        shutil.rmtree(name, ignore_errors=True, dir_fd=directory)
    remove_at(directory, name)
