import json

import httpx
import pytest

from api.domain.reason import code_of
from api.domain.tasks.cause import CauseCode
from api.jobs.downloads.answers import judge_answer, name_in, quote, read_reason
from api.jobs.errors import JobFailed

CIVITAI = "The creator of this asset requires you to be logged in to download it"
REQUEST = httpx.Request("GET", "https://civitai.test/api/download/models/7?token=planted-token")


def answer(status: int, body: bytes = b"", **headers: str) -> httpx.Response:
    stream = httpx.ByteStream(body)
    return httpx.Response(
        status, stream=stream, request=REQUEST, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def test_unauthorized_answer_has_the_servers_reason_and_a_remedy():
    body = json.dumps({"error": "Unauthorized", "message": CIVITAI}).encode()
    with pytest.raises(JobFailed) as refused:
        judge_answer("7", answer(401, body))
    assert refused.value.cause is CauseCode.UNAUTHORIZED
    assert str(refused.value) == (
        f"The server answers 401 for 7: {CIVITAI}. Set a token of an account that may download it."
    )


@pytest.mark.parametrize(
    ("status", "cause"), [(404, CauseCode.NOT_FOUND), (410, CauseCode.NOT_FOUND), (400, CauseCode.NETWORK)]
)
def test_other_errors_have_the_servers_reason(status: int, cause: CauseCode):
    with pytest.raises(JobFailed, match=r"for 7: No file found\.$") as refused:
        judge_answer("7", answer(status, b'{"error": "No file found"}'))
    assert refused.value.cause is cause


def test_known_reason_of_the_hub_has_a_code():
    headers = {"X_Error_Code": "GatedRepo", "X_Error_Message": "Access to model o/m is restricted"}
    with pytest.raises(JobFailed, match="licence of the repository") as refused:
        judge_answer("m", answer(403, **headers))
    assert refused.value.cause is CauseCode.GATED
    assert "hub_gated" in str(code_of(refused.value.message))


def test_busy_server_is_retried():
    found = judge_answer("7", answer(503, b"", Retry_After="5"))
    assert found is not None
    assert found[1] == 5.0
    assert judge_answer("7", answer(206)) is None


@pytest.mark.parametrize(
    "body", [b"", b"<html><h1>401</h1>", b"[1]", b'{"message": 5}', b'{"message": "' + b"x" * 10**6, b"[" * 10**5]
)
def test_body_without_a_message_is_not_shown(body: bytes):
    assert read_reason(answer(401, body)) == ""


def test_reason_is_short_plain_and_without_keys():
    body = json.dumps({"message": "\x1b[31mno planted-token \u202e here\n" + "x" * 9000}).encode()
    output = read_reason(answer(401, body))
    assert "planted-token" not in output
    assert output.isprintable()
    assert len(output) < 320
    assert quote("a Bearer-Key1 b", "Bearer-Key1") == "a *** b"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="style v2.safetensors"', "style v2.safetensors"),
        ("attachment; filename=style.safetensors", "style.safetensors"),
        ("inline; filename*=UTF-8''st%C3%BCl.safetensors; filename=\"stul.safetensors\"", "stül.safetensors"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\a\\\\b.bin"', "b.bin"),
        ("attachment", None),
        ('attachment; filename=""', None),
        (None, None),
    ],
)
def test_name_is_that_of_content_disposition(header: str | None, name: str | None):
    found = answer(200) if header is None else answer(200, Content_Disposition=header)
    assert name_in(found) == name
