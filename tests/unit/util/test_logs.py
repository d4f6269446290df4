import inspect
import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.websockets import websockets_sansio_impl

from api.util.logs import LineFormatter, format_line, set_up_logging
from api.util.text.ids import current_request_id

HOSTILE = ["a\nb", "a\r\nb", "a\x1b[31mb", "a\x00b", "a\u2028b", "a\x85b", "a\tb", "a\u202eb"]


def record(message: str = "it happened", **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("api.test", logging.INFO, __file__, 1, message, (), None)
    vars(made).update(facts)
    return made


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_line_stays_one_printable_line(hostile: str):
    line = format_line(False, 0.0, "INFO", f"message {hostile}", {"path": hostile})
    assert line.isprintable()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_json_line_stays_one_line_and_keeps_the_value(hostile: str):
    line = format_line(True, 0.0, "INFO", "message", {"path": hostile})
    assert "\n" not in line
    assert "\r" not in line
    assert json.loads(line)["path"] == hostile


@given(st.text(), st.text())
def test_any_text_is_one_printable_line(message: str, value: str):
    assert format_line(False, 1e9, "INFO", message, {"value": value}).isprintable()


def test_json_line_has_utc_with_z():
    assert json.loads(format_line(True, 1_764_000_000.25, "INFO", "x", {}))["time"] == "2025-11-24T16:00:00.250Z"


def test_text_line_has_level_message_and_facts():
    assert format_line(False, 0.0, "WARNING", "hot", {"gpu": 3}).endswith(" WARNING hot gpu=3")


def test_record_has_its_extra_facts_and_logger():
    facts = json.loads(LineFormatter(as_json=True).format(record(gpu=3)))
    assert (facts["gpu"], facts["logger"], facts["level"], facts["message"]) == (3, "api.test", "INFO", "it happened")


def test_record_of_a_request_has_its_id():
    token = current_request_id.set("req-7")
    try:
        facts = json.loads(LineFormatter(as_json=True).format(record()))
    finally:
        current_request_id.reset(token)
    assert facts["request_id"] == "req-7"


def test_record_outside_a_request_has_no_id():
    assert "request_id" not in json.loads(LineFormatter(as_json=True).format(record()))


@pytest.mark.parametrize("as_json", [True, False])
def test_record_of_an_exception_has_its_traceback(as_json: bool):
    made = record()
    try:
        raise ValueError("broken")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: broken" in LineFormatter(as_json).format(made)


def test_fact_without_a_json_type_is_shown_as_text():
    assert json.loads(LineFormatter(as_json=True).format(record(what={1, 2})))["what"] == "{1, 2}"


def test_set_up_leaves_one_handler_and_silences_the_server():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logging("INFO", as_json=True)
        assert len(root.handlers) == 1
        assert root.level == logging.INFO
        assert logging.getLogger("uvicorn.error").level == logging.WARNING
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def test_rejected_websocket_is_no_error_of_the_server(capsys: pytest.CaptureFixture[str]):
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    sent = "ASGI callable returned without completing handshake."
    assert sent in inspect.getsource(websockets_sansio_impl)
    try:
        set_up_logging("INFO", as_json=True)
        logging.getLogger("uvicorn.error").error(sent)
        logging.getLogger("uvicorn.error").error("another")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["another"]


@pytest.mark.parametrize("as_json", [True, False])
def test_password_in_an_address_is_masked_everywhere(as_json: bool):
    address = "redis://:s3cret@host:6379"
    made = record(f"no answer from {address}", url=address, problem=OSError(f"{address} is away"))
    try:
        raise OSError(address)
    except OSError:
        made.exc_info = sys.exc_info()
    line = LineFormatter(as_json).format(made)
    assert "s3cret@" not in line
    assert line.count("redis://***@host:6379") == 4


def test_any_message_is_masked_in_linear_time():
    assert LineFormatter(False).format(record("://a" * 100_000)).count("://a") == 100_000
