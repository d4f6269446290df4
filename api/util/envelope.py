"""The one shape of every JSON answer, and of every message of a stream."""

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from api.errors import Mistake, ServiceError

JSON = "application/json"

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_NON_STR_KEYS


def encode_json(value: Any) -> bytes:
    """Dataclasses, enums and datetimes (UTC, with Z) to JSON; NaN and infinity become null."""
    return orjson.dumps(value, option=_OPTIONS)


def encode_answer(data: Any, code: int = 200, message: str = "success") -> bytes:
    """The envelope of a success around `data`."""
    return encode_json({"code": code, "message": message, "data": data, "timestamp": int(time.time())})


def encode_error(error: ServiceError, request_id: str) -> bytes:
    """The envelope of a failure: what went wrong, every mistake, and what helps the caller to go on."""
    return encode_json(
        {
            "code": error.status,
            "message": error.detail,
            "data": error.data,
            "timestamp": int(time.time()),
            "error": {
                "code": error.code,
                "detail": error.detail,
                "errors": [_show(mistake) for mistake in error.mistakes],
                "request_id": request_id,
            },
        }
    )


def encode_message(type_: str, data: Any, timestamp: datetime | None = None) -> bytes:
    """The one shape of every message of a stream; the timestamp is now unless it is given."""
    return encode_json({"type": type_, "timestamp": timestamp or datetime.now(UTC), "data": data})


def _show(mistake: Mistake) -> dict[str, str]:
    shown = {"pointer": mistake.pointer, "message": mistake.message}
    return shown if mistake.remedy is None else {**shown, "remedy": mistake.remedy}
