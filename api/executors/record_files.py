"""Reads the records of a supervisor, as far as its trainer has left them intact."""

import errno

from api.executors.executor import Outcome
from api.executors.records import damaged_outcome, parse_outcome, parse_runner
from api.util.foreign_files import TROUBLE, ForeignFile, read, read_with_status, status_of

#: Errors that prevent reading the directory at all. Other errors concern single files.
_BLINDING = TROUBLE | {errno.EACCES, errno.EPERM}


def read_outcome(path: str) -> Outcome:
    """Return the outcome in `exit.json`, also if it is damaged.

    Raises OSError.
    """
    try:
        content, status = read_with_status(path)
        return parse_outcome(content, status.st_mtime) or damaged_outcome(status.st_mtime)
    except ForeignFile:
        return damaged_outcome(status_of(path).st_mtime)


def read_lost_bytes(path: str) -> int | None:
    """Return the bytes of output in no log, from `runner.json`; None if it has no such value."""
    try:
        runner = parse_runner(read(path))
    except OSError:
        return None
    return None if runner is None or runner.log_lost_bytes is None else max(0, runner.log_lost_bytes)


def check_absent(error: OSError) -> None:
    """Raise the error again unless it means that the file is missing."""
    if error.errno in _BLINDING:
        raise error
