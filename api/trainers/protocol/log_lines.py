"""Classify log lines of a trainer: level, type, epoch and step."""

import re

from api.domain.log import LogLevel, LogType, Meaning
from api.trainers.protocol.error_lines import EXCEPTION, RANK, SIGN, TRACEBACK
from api.trainers.protocol.phrases import (
    BATCH_SIZE_BEGINNING,
    CACHING,
    CACHING_LOGGED,
    COMPLETED,
    DATA_WARNINGS,
    EVALUATING,
    LARGEST_COUNT,
    LOGGED_STEP,
    LOGGED_STEP_PART,
    NEW_EPOCH,
    RESUMING,
    SAVING_CHECKPOINT,
    SAVING_MODEL,
    STEP,
    STEP_PREFIX,
    STOPPED,
    is_not_finite,
)

#: Characters of a line that are examined.
LINE_LIMIT = 2048

#: Unrelated lines within a traceback after which its end is no longer expected.
TRACEBACK_PATIENCE = 200

_SAVED_STEP = re.compile(r"global_step(\d{1,10})", re.ASCII)

_TRAIN_BEGINNINGS = (SAVING_MODEL, COMPLETED, STOPPED)
_TRAIN_PARTS = (SAVING_CHECKPOINT, "Checkpoint global_step", "Saved global_step", "] [Torch] Saving ")

#: Printed only before the first step of an attempt, so they end the previous attempt.
_BEGINNINGS = (CACHING, CACHING_LOGGED, BATCH_SIZE_BEGINNING, "toy trainer: ")

#: First characters of progress lines.
_PROGRESS_BEGINNINGS = frozenset("s[SRTMcGt")

#: Shared instances for most lines.
_SYSTEM = {level: Meaning(level, LogType.SYSTEM) for level in LogLevel}

# A level as loggers write it: in brackets, between spaces or colons, quoted in JSON, or as c10's single letter.
_LEVEL_WORD = re.compile(r"(?<![\w.])(DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL)(?![\w.])", re.ASCII)
_C10 = re.compile(r"(?:\[rank\d{1,6}\]:\s?)?\[([IWEF])\d{4} ", re.ASCII)
_LEVELS = {
    "DEBUG": LogLevel.DEBUG,
    "INFO": LogLevel.INFO,
    "WARN": LogLevel.WARNING,
    "WARNING": LogLevel.WARNING,
    "ERROR": LogLevel.ERROR,
    "CRITICAL": LogLevel.ERROR,
    "FATAL": LogLevel.ERROR,
    "I": LogLevel.INFO,
    "W": LogLevel.WARNING,
    "E": LogLevel.ERROR,
    "F": LogLevel.ERROR,
}
_LEVEL_LIMIT = 120  #: characters of a line within which a logger names the level

_ERROR_NAME = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt)(?::\s|$)", re.ASCII)
_CHAIN_BEGINNINGS = ("During handling of the above exception", "The above exception was the direct cause")


class LineClassifier:
    """Classifies lines in order, starting anywhere in a log; epoch and step are unknown until they appear."""

    def __init__(self, steps_per_epoch: int | None = None) -> None:
        self._steps_per_epoch = steps_per_epoch
        self._epoch: int | None = None
        self._step: int | None = None
        self._evaluates = False
        self._traceback: dict[str | None, int] = {}  #: by rank with an open traceback: lines since its last own line

    def read(self, text: str) -> Meaning:
        """Return the meaning of the next line."""
        if len(text) > LINE_LIMIT:
            text = text[:LINE_LIMIT]
        found = self._read_progress(text) if text[:1] in _PROGRESS_BEGINNINGS else None
        if found is not None:
            return found
        level = self._level(text)
        if self._evaluates and level is not LogLevel.ERROR:
            return Meaning(level, LogType.EVAL, self._epoch_now(), self._step)
        return _SYSTEM[level]

    # -- steps, epochs, saving, evaluating --------------------------------------------------------------------------

    def _read_progress(self, text: str) -> Meaning | None:
        """Return the meaning of a progress line of the trainer, or None for other lines."""
        first = text[:1]
        if first == "s" and text.startswith(STEP_PREFIX):
            return self._read_step(text)
        if first == "[":
            return self._read_logged(text)
        if first == "S" and (started := NEW_EPOCH.match(text)) is not None:
            self._epoch = _count(started[1])
            return self._train()
        if first == "R":
            return self._read_resume_or_eval(text)
        if first in "STM" and text.startswith(_TRAIN_BEGINNINGS):
            return self._train()
        if first in "cGt" and text.startswith(_BEGINNINGS):
            self._begin()
        return None

    def _read_step(self, text: str) -> Meaning | None:
        found = STEP.match(text)
        if found is None:
            return None
        self._step = _count(found[1])
        return self._train(LogLevel.WARNING if is_not_finite(found[2]) else LogLevel.INFO)

    def _read_logged(self, text: str) -> Meaning | None:
        found = LOGGED_STEP.search(text) if LOGGED_STEP_PART in text else None
        if found is None and any(part in text for part in _TRAIN_PARTS):
            found = _SAVED_STEP.search(text)
            if found is None:
                return self._train()
        if found is None:
            if text.startswith(_BEGINNINGS):
                self._begin()
            return None
        self._step = _count(found[1])
        return self._train()

    def _read_resume_or_eval(self, text: str) -> Meaning | None:
        if text.startswith(EVALUATING):
            self._evaluates = True
            return Meaning(LogLevel.INFO, LogType.EVAL, self._epoch_now(), self._step)
        found = RESUMING.match(text)
        if found is None:
            return None
        self._epoch, self._step = _count(found[1]), _count(found[2])
        return self._train()

    def _train(self, level: LogLevel = LogLevel.INFO) -> Meaning:
        self._evaluates = False
        return Meaning(level, LogType.TRAIN, self._epoch_now(), self._step)

    def _epoch_now(self) -> int | None:
        if self._epoch is None and self._steps_per_epoch and self._step:
            return (self._step - 1) // self._steps_per_epoch + 1
        return self._epoch

    def _begin(self) -> None:
        self._epoch = self._step = None
        self._evaluates = False
        self._traceback.clear()

    # -- levels ----------------------------------------------------------------------------------------------------

    def _level(self, text: str) -> LogLevel:
        if text.startswith("["):
            if (c10 := _C10.match(text)) is not None:
                return _LEVELS[c10[1]]
            if text.startswith("[rank") and RANK.match(text) is not None:
                self._read_traceback(text)
                return LogLevel.ERROR
        if (self._traceback or "Traceback (" in text) and self._read_traceback(text):
            return LogLevel.ERROR
        if not text:
            return LogLevel.INFO
        named = _LEVEL_WORD.search(text, 0, _LEVEL_LIMIT) if _may_name_a_level(text) else None
        return _level_of_text(text) if named is None else _LEVELS[named[1]]

    def _read_traceback(self, text: str) -> bool:
        """Return whether the line belongs to a traceback. Lines of other processes may come in between."""
        prefix = RANK.match(text)
        rank, rest = (prefix[1], text[prefix.end() :]) if prefix else (None, text)
        if TRACEBACK.search(rest) is not None:
            self._traceback[rank] = 0
            return True
        if rank not in self._traceback:
            return False
        if rest[:1] in (" ", "\t"):
            self._traceback[rank] = 0
            return True
        if EXCEPTION.match(rest) is not None:
            del self._traceback[rank]
            return True
        self._traceback[rank] += 1
        if self._traceback[rank] > TRACEBACK_PATIENCE:
            del self._traceback[rank]
        return False


# Substring tests come first, because they are far faster than the patterns and exclude most lines.


def _may_name_a_level(text: str) -> bool:
    return (
        "INFO" in text or "WARN" in text or "ERROR" in text or "DEBUG" in text or "CRITICAL" in text or "FATAL" in text
    )


def _level_of_text(text: str) -> LogLevel:
    lower = text.lower()
    if ("error" in lower or "exception" in lower or "interrupt" in lower) and _names_an_error(text):
        return LogLevel.ERROR
    if "out of memory" in lower or (_may_be_a_sign(text) and SIGN.search(text) is not None):
        return LogLevel.ERROR
    if ("warning" in lower and _warns(text)) or text.startswith(DATA_WARNINGS):
        return LogLevel.WARNING
    return LogLevel.WARNING if " bytes of output were lost: " in text else LogLevel.INFO


def _names_an_error(text: str) -> bool:
    return _ERROR_NAME.match(text) is not None or text.startswith(_CHAIN_BEGINNINGS)


def _may_be_a_sign(text: str) -> bool:
    return (
        "Watchdog" in text
        or "EADDRINUSE" in text
        or "ddress already" in text
        or "fallen off" in text
        or "No space" in text
        or "terminate called" in text
        or "received SIG" in text
        or ": error: " in text
        or "killed by" in text
        or "return code" in text
        or "resolutions" in text
    )


def _warns(text: str) -> bool:
    """Return whether the line is a Python warning or starts with "warning:"."""
    return "Warning: " in text or "warnings.warn(" in text or text[:8].lower() == "warning:"


def _count(digits: str) -> int | None:
    number = int(digits)
    return number if 1 <= number <= LARGEST_COUNT else None
