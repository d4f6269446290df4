import json

import pytest

from api.errors import GPUBusy
from api.util.text.ids import current_request_id
from api.web.responses import FILE, answer, answer_bytes, answer_error, answer_file


def test_success_is_an_envelope():
    response = answer({"a": 1}, code=201, message="made", headers={"Location": "/a"})
    body = json.loads(response.get_data())
    assert (response.status_code, body["code"], body["message"], body["data"]) == (201, 201, "made", {"a": 1})
    assert (response.content_type, response.headers["Location"]) == ("application/json", "/a")


def test_error_has_its_code_its_status_and_the_id_of_its_request():
    token = current_request_id.set("req-1")
    try:
        response = answer_error(GPUBusy("It is held.", headers={"Retry-After": "2"}))
    finally:
        current_request_id.reset(token)
    body = json.loads(response.get_data())
    assert (response.status_code, body["error"]["code"], response.headers["Retry-After"]) == (409, "gpu_busy", "2")
    assert "req-1" in response.get_data(as_text=True)


@pytest.mark.parametrize(("status", "kind"), [(200, "text/css"), (304, None)])
def test_prepared_response_is_passed_on_and_a_304_has_no_type(status: int, kind: str | None):
    headers = [(b"content-type", b"text/css"), (b"etag", b'"x"')]
    response = answer_bytes(status, headers, b"" if status == 304 else b"a{}")
    assert (response.headers.get("Content-Type"), response.headers["ETag"]) == (kind, '"x"')


def test_file_is_passed_to_the_shell():
    state: dict[str, object] = {}
    answer_file({"asgi.scope": {"state": state}}, "an open file")
    assert state == {FILE: "an open file"}
