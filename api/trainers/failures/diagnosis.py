"""Derive the cause of a failed attempt, with a remedy, from its last lines, exit code and signal."""

import re
import signal
from collections.abc import Sequence

from api.domain.reason import Reason
from api.domain.tasks.cause import Cause, CauseCode
from api.trainers.failures.endings import (
    NAN_IN_A_ROW,
    exited_with_zero,
    killed,
    last_lines,
    nan_losses,
    printed_nothing,
    signal_number,
)
from api.trainers.failures.hints import BY_PLACE, READ_TRACEBACK, hint_for
from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.known_causes import CONSEQUENCES, ORIGINS, TRAINER_ERRORS
from api.trainers.failures.stages import TrainerStage, last_stage
from api.trainers.protocol.error_lines import LINE_LIMIT, RANK, TRACEBACK_LIMIT, WHAT, ErrorLine, find_errors, is_empty
from api.trainers.trainer import Ending

#: The line between two exceptions of which the first led to the second.
_CHAINED = re.compile(r"The above exception was the direct cause|During handling of the above exception")

#: Exceptions that only pass on an earlier one.
_WRAPPER = re.compile(
    r"Unable to load weights from|Failed to import |BackendCompilerFailed|InductorError|LoweringException|raised:$"
    r"|error occurred while generating the dataset|RetryError"
)

#: Codes of hints that are only a guess: they do not replace the hint of a later exception.
_GUESSES = {READ_TRACEBACK.said.code, *BY_PLACE, *(each.remedy_code for each in TRAINER_ERRORS if each.is_guess)}

#: Lines that ranks print after another rank failed; they are the cause only if there is no other error.
_SECONDARY = re.compile(
    r"NCCL|ProcessGroup|DistBackendError|DistNetworkError|DistStoreError|TCPStore|Connection (?:reset|refused|closed)"
    r"|^(?:EOFError(?!: Ran out of input)|BrokenPipeError|ConnectionResetError|ConnectionRefusedError|SystemExit"
    r"|KeyboardInterrupt)"
    r"|^(?:torch\.distributed\.|subprocess\.CalledProcessError)|pymp-|terminate called|exits with return code"
)

#: A missing file has a name, except for the socket of a process that has ended.
_LOST_SOCKET = re.compile(r"^FileNotFoundError: \[Errno 2\] No such file or directory$")

#: An error of a worker of the data loader, whose own traceback follows.
_PASSED_ON = re.compile(r"^\w+: Caught \w+ in ")

#: An assertion without a message.
_NO_MESSAGE = re.compile(r"AssertionError:?\s*")

#: A warning in the form of DeepSpeed's log.
_WARNING = re.compile(r"\[(?:WARNING|ERROR)\] (?:\[[\w.]{1,80}:\d{1,6}:\w{1,80}\] )?(?:\[Rank \d+\] )?(.*)")

_RETURN_CODE = re.compile(r"exits with return code = (-?\d{1,4})")
_RECEIVED = re.compile(r"Main process received (SIG[A-Z]{2,6})")


def diagnose(ending: Ending, stopped_phrase: str) -> Cause:
    """Return the cause of a failure: the first error in time, as later errors follow from it."""
    errors = find_errors(ending.last_lines)
    roots = _uncaught([error for error in errors if _is_root(error)])
    for error in roots:
        cause = _classify(error)
        if cause is not None:
            return cause
    raised = [error for error in roots if error.exception is not None]
    if ending.nan_in_a_row >= NAN_IN_A_ROW:
        return nan_losses(ending)
    if raised:
        return _trainer_error(_last_of_its_rank(raised), raised, ending)
    return _without_root(ending, errors, stopped_phrase)


def _is_root(error: ErrorLine) -> bool:
    if _LOST_SOCKET.search(error.text) or _PASSED_ON.search(error.text):
        return False
    if any(each.occurs_in(error.text) for each in ORIGINS):
        return True
    return not _SECONDARY.search(error.text)


def _uncaught(roots: Sequence[ErrorLine]) -> Sequence[ErrorLine]:
    """Leave out tracebacks that were only printed: torch marks the rank of those that ended a process."""
    last = max((error.position for error in roots if error.rank is not None and error.traceback), default=-1)
    return [
        error
        for error in roots
        if error.rank is not None or error.exception is None or error.is_child or error.position > last
    ]


def _classify(error: ErrorLine) -> Cause | None:
    return next((_cause(each, error) for each in ORIGINS if each.match(error.text, error.frames)), None)


def _cause(known: KnownCause, error: ErrorLine) -> Cause:
    lines = error.traceback or (error.text,)
    return Cause.of(
        known.cause or CauseCode.TRAINER_ERROR,
        known.code,
        f"{known.detail}: {{line}}",
        known.remedy,
        lines,
        line=error.text,
    )


def _last_of_its_rank(raised: Sequence[ErrorLine]) -> ErrorLine:
    """Return the last exception of the first rank that failed; earlier ones of that rank led to it."""
    first = raised[0].rank
    return [error for error in raised if error.rank == first][-1]


def _first_link(last: ErrorLine, raised: Sequence[ErrorLine], lines: Sequence[str]) -> ErrorLine:
    """Return the exception that began the chain of exceptions that ended with this one."""
    link = last
    for error in reversed([each for each in raised if each.rank == last.rank and each.position < last.position]):
        if not any(_CHAINED.search(line) for line in lines[error.position + 1 : link.position]):
            break
        link = error
    return link


def _trainer_error(error: ErrorLine, raised: Sequence[ErrorLine], ending: Ending) -> Cause:
    lines = ending.last_lines
    output = (*ending.warnings, *lines)
    shown = (*(error.traceback or (error.text,)), *error.details)
    text, details = error.text, error.details
    if _NO_MESSAGE.fullmatch(text):
        # A warning directly above explains a bare assertion better than its condition.
        conditions = [line.strip() for line in error.traceback if line.strip().startswith("assert ")]
        reasons = [*_warning_above(error, lines), *(line.removeprefix("assert ") for line in conditions[-1:])]
        text = f"AssertionError: {'; '.join(reasons)}"[:LINE_LIMIT] if reasons else text
        details = (*details, *reasons)
    elif is_empty(text) and details:
        text = f"{text} {details[0].strip()}"[:LINE_LIMIT]
    first = _first_link(error, raised, lines)
    # A process of a pool raises its exception twice. Only the first traceback shows the place.
    frames = error.frames if first is error else (*first.frames, *error.frames, error.text)
    hint = hint_for(error.text, frames, details, output)
    if first.text != error.text and (better := _better_hint(first, error, hint, frames, output)) is not None:
        hint = better
        text = f"{error.text} ({first.text})"[:LINE_LIMIT]
        shown = (*first.traceback[-TRACEBACK_LIMIT // 3 :], *error.traceback[-TRACEBACK_LIMIT * 2 // 3 :])
    return Cause(CauseCode.TRAINER_ERROR, text, hint.text, shown, remedy_code=hint.said)


def _better_hint(
    first: ErrorLine, last: ErrorLine, hint: Reason, frames: Sequence[str], output: Sequence[str]
) -> Reason | None:
    """Return the hint for the first exception of a chain if it says more than the hint for the last, else None."""
    is_wrapper = _WRAPPER.search(last.text) is not None
    is_guess = hint is READ_TRACEBACK or hint.said.code in BY_PLACE
    if not is_wrapper and (not is_guess or "No module named" in first.text):
        # Code often tries an optional module, fails, and goes on.
        return None
    earlier = hint_for(first.text, frames, first.details, output)
    return None if earlier.said.code in _GUESSES else earlier


def _warning_above(error: ErrorLine, lines: Sequence[str]) -> list[str]:
    """Return the message of the warning that the trainer or DeepSpeed logged directly above a traceback, if any."""
    for line in reversed(lines[: error.position]):
        text = RANK.sub("", line, count=1)
        if (warning := _WARNING.search(text)) is not None:
            return [warning[1].strip()[: LINE_LIMIT // 2]]
        if not text.startswith((" ", "\t", "Traceback")):
            break
    return []


def _without_root(ending: Ending, errors: Sequence[ErrorLine], stopped_phrase: str) -> Cause:
    """Return the cause when no original error was printed: from secondary errors, the signal or the exit code."""
    ending_signal = signal_number(ending)
    for error in errors:
        before = last_stage(ending.last_lines[: error.position])
        for known in CONSEQUENCES:
            if known.match(error.text, ()) and (before is TrainerStage.CACHING or not known.while_caching):
                return _cause(known, error)
        is_fatal = error.exception is None and ending_signal in (None, signal.SIGABRT, signal.SIGSEGV)
        is_message = error.text.startswith(WHAT) or (is_fatal and not _SECONDARY.search(error.text))
        if is_message and (hint := hint_for(error.text)) is not READ_TRACEBACK:
            return Cause(CauseCode.TRAINER_ERROR, error.text, hint.text, last_lines(ending), remedy_code=hint.said)
        reported = _reported_signal(error)
        if reported is not None:
            return killed(ending, reported)
    if ending_signal is not None:
        return killed(ending, ending_signal)
    if ending.exit_code == 0:
        return exited_with_zero(ending, stopped_phrase)
    if any(_RETURN_CODE.search(error.text) is None for error in errors):
        raised = [error for error in errors if error.exception is not None]
        original = [error for error in errors if not _SECONDARY.search(error.text)]
        return _trainer_error(_last_of_its_rank(raised or original or errors), raised, ending)
    return printed_nothing(ending)


def _reported_signal(error: ErrorLine) -> int | None:
    """Return the number of the signal that ended a rank or the launcher, according to the launcher, or None."""
    received = _RECEIVED.search(error.text)
    if received is not None and received[1] in signal.Signals.__members__:
        return signal.Signals[received[1]].value
    code = _RETURN_CODE.search(error.text)
    if code is not None and -64 <= int(code[1]) < 0:
        return -int(code[1])
    return signal.SIGINT.value if error.exception == "KeyboardInterrupt" else None
