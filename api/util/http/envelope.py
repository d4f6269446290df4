"""The common form of every JSON response, and of every message of a stream."""

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from api.errors import Finding, ServiceError

JSON = "application/json"

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_NON_STR_KEYS


def encode_json(value: Any) -> bytes:
    """Return dataclasses, enums and datetimes (UTC, with Z) as JSON. NaN and infinity become null."""
    return orjson.dumps(value, option=_OPTIONS)


def encode_answer(data: Any, code: int = 200, message: str = "success") -> bytes:
    """Return the envelope of a success with `data`."""
    return encode_json({"code": code, "message": message, "data": data, "timestamp": int(time.time())})


def encode_error(error: ServiceError, request_id: str) -> bytes:
    """Return the envelope of an error: the message, every mistake, and data that helps the client."""
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
    """Return a message of a stream. The default timestamp is the current time."""
    return encode_json({"type": type_, "timestamp": timestamp or datetime.now(UTC), "data": data})


def _show(mistake: Finding) -> dict[str, Any]:
    shown: dict[str, Any] = {"pointer": mistake.pointer, "message": mistake.message}
    if mistake.remedy is not None:
        shown["remedy"] = mistake.remedy
    params = mistake.params or {}
    if mistake.code is not None:
        shown["message_code"] = {"code": mistake.code, "params": params}
    if mistake.remedy_code is not None:
        shown["remedy_code"] = {"code": mistake.remedy_code, "params": params}
    return shown
