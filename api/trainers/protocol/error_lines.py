"""Finds what went wrong in the last lines of a log: exceptions by rank, and the signs that come without one."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from api.trainers.protocol.phrases import STEP_BEGINNING

LINE_LIMIT = 500
TRACEBACK_LIMIT = 30

#: What torch puts before each line of a rank's traceback.
RANK = re.compile(r"\[rank(\d{1,6})\]:\s?", re.ASCII)

#: The first line of a traceback. Not only at the beginning of a line: a progress bar before it has no end of its own.
TRACEBACK = re.compile(r"(?:\[rank(\d{1,6})\]:\s?)?(Traceback \(most recent call last\).*)", re.ASCII)
#: The last line of a traceback.
EXCEPTION = re.compile(r"([A-Za-z_][\w.]{0,200})(?::\s|$)", re.ASCII)

#: Fatal signs that programs print without a Python traceback.
SIGN = re.compile(
    r"Watchdog caught collective operation timeout|EADDRINUSE|[Aa]ddress already in use|fallen off the bus"
    r"|No space left on device|terminate called after throwing|Main process received SIG|: error: "
    r"|killed by signal: |exits with return code = |have set a lot of resolutions|CUDA out of memory|HIP out of memory"
    r"|^(?:torch(?:\.cuda)?\.)?OutOfMemoryError\b|^setpriv: failed to execute "
)

#: The last line of a traceback that stands alone: the program that printed it may have gone on.
_BARE = re.compile(r"(?:[A-Za-z_]\w{0,60}\.){0,6}([A-Z]\w{0,60}(?:Error|Exception|Interrupt))(?::\s|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A line that says what went wrong, and the lines that lead to it."""

    text: str
    position: int  #: its index among the lines
    rank: str | None = None
    exception: str | None = None  #: the last part of its class's name; None for a sign without a traceback
    traceback: tuple[str, ...] = ()
    is_bare: bool = False  #: an exception's line without its traceback


@dataclass(slots=True)
class _Open:
    """A traceback whose exception has not come yet."""

    lines: list[str] = field(default_factory=list)
    is_ignored: bool = False


def find_errors(lines: Sequence[str]) -> tuple[ErrorLine, ...]:
    """Every exception and fatal sign, in the order of the lines.

    What stands before the last step line was survived, and is left out unless nothing stands after it: ranks share
    one output, so that a step line may come late. An exception's line without a traceback counts where
    nothing else was said.
    """
    every = tuple(_scan(line[:LINE_LIMIT] for line in lines))
    errors = tuple(error for error in every if not error.is_bare) or every
    last_step = max((position for position, line in enumerate(lines) if STEP_BEGINNING.match(line)), default=-1)
    fatal = tuple(error for error in errors if error.position > last_step)
    return fatal or errors


def _scan(lines: Iterable[str]) -> Iterable[ErrorLine]:
    open_by_rank: dict[str | None, _Open] = {}
    before = ""
    for position, whole in enumerate(lines):
        prefix = RANK.match(whole)
        rank, text = (prefix[1], whole[prefix.end() :]) if prefix else (None, whole)
        begun = TRACEBACK.search(text)
        if begun is not None:
            open_by_rank[begun[1] or rank] = _Open([begun[2]], before.startswith("Exception ignored in"))
        elif rank in open_by_rank:
            error = _continue(open_by_rank, rank, text, position)
            if error is not None:
                yield error
        elif SIGN.search(text):
            yield ErrorLine(text.strip(), position, rank)
        elif (bare := _BARE.match(text)) is not None:
            yield ErrorLine(text.strip(), position, rank, bare[1], (text,), is_bare=True)
        before = text


def _continue(open_by_rank: dict[str | None, _Open], rank: str | None, text: str, position: int) -> ErrorLine | None:
    """Adds a line to a traceback; returns the error when the line is the one that names the exception."""
    traceback = open_by_rank[rank]
    named = EXCEPTION.match(text)
    if named is None:
        # Indented lines belong to it; others are another process's words in between.
        if text[:1] in (" ", "\t") and len(traceback.lines) < TRACEBACK_LIMIT * 4:
            traceback.lines.append(text)
        return ErrorLine(text.strip(), position, rank) if SIGN.search(text) else None
    del open_by_rank[rank]
    if traceback.is_ignored:
        return None
    shown = (*traceback.lines[-TRACEBACK_LIMIT + 1 :], text)
    return ErrorLine(text.strip(), position, rank, named[1].rpartition(".")[2], shown)
