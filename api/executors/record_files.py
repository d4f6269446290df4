"""Reads the records of a supervisor, as far as its trainer has left them whole."""

import errno

from api.executors.executor import Outcome
from api.executors.records import damaged_outcome, parse_outcome, parse_runner
from api.util.foreign_files import TROUBLE, ForeignFile, read, read_with_status, status_of

#: Errors that keep a directory from being looked into; any other one says something about its files.
_BLINDING = TROUBLE | {errno.EACCES, errno.EPERM}


def read_outcome(path: str) -> Outcome:
    """What `exit.json` says, damaged or not. Raises OSError."""
    try:
        content, status = read_with_status(path)
        return parse_outcome(content, status.st_mtime) or damaged_outcome(status.st_mtime)
    except ForeignFile:
        return damaged_outcome(status_of(path).st_mtime)


def read_lost_bytes(path: str) -> int | None:
    """The bytes of output that are in no log, by `runner.json`; None when it does not tell."""
    try:
        runner = parse_runner(read(path))
    except OSError:
        return None
    return None if runner is None or runner.log_lost_bytes is None else max(0, runner.log_lost_bytes)


def check_absent(error: OSError) -> None:
    """Raises the error again where it does not say that a file is not there."""
    if error.errno in _BLINDING:
        raise error
