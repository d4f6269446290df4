import json
import math
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.domain.machines.gpu import GPUHealth, Verdict
from api.errors import Finding, GPUBusy
from api.util.http.envelope import encode_answer, encode_error, encode_json


def test_success_has_its_status_and_unix_seconds():
    before = int(time.time())
    envelope = json.loads(encode_answer({"a": 1}, 201, "made"))
    assert {**envelope, "timestamp": 0} == {"code": 201, "message": "made", "data": {"a": 1}, "timestamp": 0}
    assert before <= envelope["timestamp"] <= time.time()


def test_error_has_the_form_of_the_contract():
    error = GPUBusy("GPU-1 is held.", data={"held_by": {}}, mistakes=[Finding("/gpu_ids/0", "is held")])
    envelope = json.loads(encode_error(error, "req-1"))
    del envelope["timestamp"]
    assert envelope == {
        "code": 409,
        "message": "GPU-1 is held.",
        "data": {"held_by": {}},
        "error": {
            "code": "gpu_busy",
            "detail": "GPU-1 is held.",
            "errors": [{"pointer": "/gpu_ids/0", "message": "is held"}],
            "request_id": "req-1",
        },
    }


@pytest.mark.parametrize(
    ("time_", "text"),
    [
        (datetime(2026, 11, 24, 7, 0, 1, tzinfo=UTC), "2026-11-24T07:00:01Z"),
        (datetime(2026, 11, 24, 7, 0, 1, 999_999, tzinfo=UTC), "2026-11-24T07:00:01Z"),
        (datetime(2026, 11, 24, 7, 0, 1), "2026-11-24T07:00:01Z"),  # noqa: DTZ001
    ],
)
def test_time_is_utc_with_z(time_: datetime, text: str):
    assert json.loads(encode_json(time_)) == text


def test_time_of_another_zone_is_converted():
    shown = json.loads(encode_json(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))))
    assert datetime.fromisoformat(shown) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_number_without_a_json_form_is_null(number: float):
    assert encode_json({"value": number}) == b'{"value":null}'


def test_dataclass_and_enum_are_plain_json():
    assert json.loads(encode_json(GPUHealth(Verdict.HEALTHY))) == {
        "verdict": "healthy",
        "reasons": [],
        "suggested_actions": [],
        "reason_codes": [],
        "action_codes": [],
    }
