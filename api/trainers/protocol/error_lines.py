"""Find errors in the last lines of a log: exceptions by rank, and fatal messages without a traceback."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from api.trainers.protocol.phrases import STEP_BEGINNING

LINE_LIMIT = 500
TRACEBACK_LIMIT = 30
DETAIL_LIMIT = 10

#: The prefix that torch adds to each line of a rank's traceback.
RANK = re.compile(r"\[rank(\d{1,6})\]:\s?", re.ASCII)

#: The first line of a traceback. It may follow a progress bar on the same line.
TRACEBACK = re.compile(r"(?:\[rank(\d{1,6})\]:\s?)?(Traceback \(most recent call last\).*)", re.ASCII)
#: The last line of a traceback.
EXCEPTION = re.compile(r"([A-Za-z_][\w.]{0,200})(?::\s|$)", re.ASCII)

#: An exception line whose message begins on the next line.
_EMPTY = re.compile(r"[A-Za-z_][\w.]{0,200}:", re.ASCII)

#: A line that belongs to no message: of a log, or between two tracebacks.
_OTHER = re.compile(r"\[|Traceback |During handling of |The above exception |Exception ignored ")

#: Begins the line with the message of a C++ exception that ended a process.
WHAT = "what():"

#: Fatal messages that programs print without a Python traceback.
SIGN = re.compile(
    r"Watchdog caught collective operation timeout|watchdog got stuck|EADDRINUSE|[Aa]ddress already in use"
    r"|fallen off the bus|No space left on device|terminate called after throwing|Main process received SIG|: error: "
    r"|killed by signal: |exits with return code = |have set a lot of resolutions|CUDA out of memory|HIP out of memory"
    rf"|^\s*{re.escape(WHAT)} |insufficient shared memory|named symbol not found at line"
    r"|^(?:torch(?:\.cuda)?\.)?OutOfMemoryError\b|^setpriv: failed to execute |^Error .{1,80} at line \d+ in file "
    r"|: can't open file '|python[\d.]{0,6}: (?:No module named |Error while finding module spec)"
    r"|^Memory access fault by GPU|^rocBLAS error|^(?:/usr/bin/)?env: |shared libraries: |pthread_create failed"
    r"|^libgomp: |^CUDA error \(|^OMP: Error|ould not load library|Unable to load any of|: (?:command not found"
    r"|bad interpreter|cannot execute)"
)

#: An exception line without a traceback: the program that printed it may have continued.
_BARE = re.compile(r"(?:[A-Za-z_]\w{0,60}\.){0,6}([A-Z]\w{0,60}(?:Error|Exception|Interrupt))(?::\s|$)", re.ASCII)

#: The line above the traceback of a process or thread of a rank.
_CHILD = re.compile(r'Process \S+:|Exception in thread |"""|.*RemoteTraceback')

#: Fatal messages that name no cause; the cause is an earlier line. Other signals than SIGABRT come from outside.
_CAUSELESS = re.compile(rf"^{re.escape(WHAT)}|terminate called after throwing|exits with return code = (?:[1-9]|-6\b)")


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A line that reports an error, and its traceback."""

    text: str
    position: int  #: its index among the lines
    rank: str | None = None
    exception: str | None = None  #: class name without its module; None for a fatal message without a traceback
    traceback: tuple[str, ...] = ()  #: its last lines
    frames: tuple[str, ...] = ()  #: all lines of the traceback that were read
    is_bare: bool = False  #: an exception line without a traceback
    is_child: bool = False  #: a process or thread of a rank printed it
    details: tuple[str, ...] = ()  #: lines after the exception line that belong to its message


@dataclass(slots=True)
class _OpenTraceback:
    """A traceback whose exception line has not been read yet."""

    lines: list[str] = field(default_factory=list)
    is_ignored: bool = False
    is_child: bool = False


def find_errors(lines: Iterable[str]) -> tuple[ErrorLine, ...]:
    """Return all exceptions and fatal messages in order.

    Errors before the last step line did not end the training and are left out, unless there are no later ones:
    ranks share one output, so a step line may arrive late. An exception line without a traceback counts only if
    no other error names a cause.
    """
    lines = [line[:LINE_LIMIT] for line in lines]
    every = tuple(_with_details(error, lines) for error in _scan(lines))
    errors = tuple(error for error in every if not error.is_bare)
    if all(_CAUSELESS.search(error.text) for error in errors):
        errors = every
    last_step = max((position for position, line in enumerate(lines) if STEP_BEGINNING.match(line)), default=-1)
    fatal = tuple(error for error in errors if error.position > last_step)
    return fatal or errors


def is_empty(text: str) -> bool:
    """Return whether the message of an exception line is empty: it begins on a later line, then."""
    return _EMPTY.fullmatch(text) is not None


def _with_details(error: ErrorLine, lines: Sequence[str]) -> ErrorLine:
    following = lines[error.position + 1 : error.position + 1 + DETAIL_LIMIT] if error.exception is not None else ()
    texts = [RANK.sub("", line, count=1) for line in following]
    if "NCCL error" in error.text:
        # These lines are not indented.
        last = next((index for index, text in enumerate(texts) if text.startswith("Last error:")), None)
        details = () if last is None else tuple(texts[: last + 2])
    elif error.text.endswith("(look up to see its traceback):"):
        # transformers and diffusers repeat the message of the import that failed.
        details = tuple(texts[:1])
    elif "deserializing header" in error.text:
        # ComfyUI names the file in a paragraph of its own.
        details = tuple(text for text in texts if text.startswith("File path: "))
    elif is_empty(error.text):
        same = texts if error.rank is None else (RANK.sub("", line, count=1) for line in following if RANK.match(line))
        said = takewhile(lambda text: _OTHER.match(text) is None, same)
        details = tuple(text for text in said if text.strip())
    else:
        details = tuple(takewhile(lambda text: text[:1] in (" ", "\t") and text.strip(), texts))
    return replace(error, details=details) if details else error


def _scan(lines: Iterable[str]) -> Iterable[ErrorLine]:
    open_by_rank: dict[str | None, _OpenTraceback] = {}
    before = ""
    for position, line in enumerate(lines):
        prefix = RANK.match(line)
        rank, text = (prefix[1], line[prefix.end() :]) if prefix else (None, line)
        started = TRACEBACK.search(text)
        if started is not None:
            open_by_rank[started[1] or rank] = _OpenTraceback(
                [started[2]], before.startswith("Exception ignored in"), _CHILD.match(before) is not None
            )
        elif rank in open_by_rank:
            error = _continue(open_by_rank, rank, text, position)
            if error is not None:
                yield error
        elif SIGN.search(text):
            yield ErrorLine(text.strip(), position, rank)
        elif (bare := _BARE.match(text)) is not None:
            yield ErrorLine(text.strip(), position, rank, bare[1], (text,), is_bare=True)
        before = text


def _continue(
    open_by_rank: dict[str | None, _OpenTraceback], rank: str | None, text: str, position: int
) -> ErrorLine | None:
    """Add a line to a traceback, and return the error if the line names the exception, else None."""
    traceback = open_by_rank[rank]
    named = EXCEPTION.match(text)
    if named is None:
        # Indented lines belong to the traceback; other lines come from other processes.
        if text[:1] in (" ", "\t") and len(traceback.lines) < TRACEBACK_LIMIT * 4:
            traceback.lines.append(text)
        return ErrorLine(text.strip(), position, rank) if SIGN.search(text) else None
    del open_by_rank[rank]
    if traceback.is_ignored:
        return None
    shown = (*traceback.lines[-TRACEBACK_LIMIT + 1 :], text)
    frames = tuple(traceback.lines)
    name = named[1].rpartition(".")[2]
    return ErrorLine(text.strip(), position, rank, name, shown, frames, is_child=traceback.is_child)
