"""Log lines as JSON or text: one line for each event, with its facts as fields."""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from api.util.text.ids import current_request_id
from api.util.text.masking import mask_userinfo

#: The logger of the audit. Its lines are JSON objects in every format and at every level.
AUDIT_LOGGER = "api.audit"

# Attributes of every LogRecord; all others come from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def format_line(as_json: bool, unix_seconds: float, level: str, message: str, facts: dict[str, Any]) -> str:
    """Return one log line without its newline. Text stays on one line, whatever the facts contain."""
    if as_json:
        second, microsecond = divmod(round(unix_seconds * 1_000_000), 1_000_000)
        time = f"{_show_second(second)}.{microsecond // 1000:03}Z"
        line = orjson.dumps({"time": time, "level": level, "message": message, **facts}, default=str).decode()
        # JSON does not escape control characters beyond ASCII.
        return line if line.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in line)
    time = _show_local_second(int(unix_seconds))
    line = f"{time} {level:<7} {message}" + "".join(f" {name}={value}" for name, value in facts.items())
    # External text must not create a second line or control the terminal.
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


# Cached: the lines of one second share the text, which takes longer than the rest of a line.
@lru_cache(2)
def _show_local_second(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@lru_cache(2)
def _show_second(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None).isoformat()


def _escape(character: str) -> str:
    # As JSON does: a pair of surrogates beyond 16 bits.
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


class LineFormatter(logging.Formatter):
    """Formats records of the standard library's logging."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if (request_id := current_request_id.get()) and "request_id" not in facts:
            facts["request_id"] = request_id
        facts["logger"] = record.name
        as_json = self._as_json or record.name == AUDIT_LOGGER
        trace = self.formatException(record.exc_info) if record.exc_info else None
        if trace is not None and as_json:
            facts["traceback"] = trace
        line = format_line(as_json, record.created, record.levelname, record.getMessage(), facts)
        # Errors of libraries contain the address that they were given.
        return mask_userinfo(line if trace is None or as_json else f"{line}\n{trace}")


class LineHandler(logging.Handler):
    """Passes each record to a function as one line, newline included."""

    def __init__(self, write: Callable[[str], None], as_json: bool) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(LineFormatter(as_json))

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.format(record) + "\n")


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Return False for uvicorn's error about a WebSocket that an HTTP response rejects. The access log has it."""
    return record.msg != "ASGI callable returned without completing handshake."


def set_up_logging(level: str, as_json: bool) -> None:
    """Send the lines of every logger to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger(AUDIT_LOGGER).setLevel(logging.INFO)
    # Our own log lines cover their information.
    for name in ("uvicorn", "uvicorn.error", "asyncio", "websockets", "httpx"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # A function instead of an object, so that another call adds no second filter.
    logging.getLogger("uvicorn.error").addFilter(_is_no_false_alarm)
