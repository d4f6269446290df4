"""Resolve a path part by part, as the kernel does for the process that opens it, and compare resolved paths."""

import errno
import os

#: Maximum number of links in one path, and maximum length of a path in bytes (Linux).
_MOST_LINKS = 40
_LONGEST_PATH = 4095

#: Virtual file systems of the kernel: links below them depend on the process that opens them.
_KERNEL_VIEWS = ("/proc", "/sys")


class UnknownTarget(Exception):
    """A process can open the path, but this one cannot determine what would be opened."""


def reach(text: str, base: str | None = None) -> str | None:
    """Return the absolute path without links that a process with the working directory `base` opens by this path.

    Missing parts stay as they are. Return None if no process can open the path: an invalid text, a loop of links, a
    relative path without a base. Raises UnknownTarget.
    """
    if not _is_path(text) or (base is None and not text.startswith("/")):
        return None
    pending = (text if text.startswith("/") else f"{base}/{text}").split("/")[::-1]
    here, links = "", 0
    while pending:
        part = pending.pop()
        if part == "..":
            here = here.rpartition("/")[0]
        if part in ("", ".", ".."):
            continue
        here_below = f"{here}/{part}"
        if here_below in _KERNEL_VIEWS:
            raise UnknownTarget
        target = _read_link(here_below)
        if target is None:
            here = here_below
            continue
        links += 1
        if links > _MOST_LINKS:
            return None
        here = "" if target.startswith("/") else here
        pending.extend(target.split("/")[::-1])
    return here or "/"


def open_directory(real: str) -> int:
    """Return a handle of the directory at a resolved path, of which no part may have become a link. Raises OSError."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open("/", os.O_PATH | flags)
    try:
        for part in filter(None, real.split("/")):
            below = os.open(part, os.O_PATH | flags, dir_fd=handle)
            os.close(handle)
            handle = below
        return os.open(".", os.O_RDONLY | flags, dir_fd=handle)
    finally:
        os.close(handle)


def is_below(path: str, above: str) -> bool:
    """Return whether a resolved path is this directory or below it."""
    return path == above or path.startswith(above.rstrip("/") + "/")


def _is_path(text: str) -> bool:
    try:
        return bool(text) and "\0" not in text and len(os.fsencode(text)) <= _LONGEST_PATH
    except UnicodeEncodeError:
        return False


def _read_link(path: str) -> str | None:
    """Return the target of a link; None if it is no link or missing. Raises UnknownTarget."""
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise UnknownTarget from None
        return None
