import errno

import httpx
import pytest
from huggingface_hub.errors import HFValidationError

from api.jobs.pushes.failures import HubTrouble, explain, is_final, requested_wait
from api.util.http.addresses import PrivateAddress
from tests.local_hub import LocalHub
from tests.unit.jobs.pushes.builders import TOKEN, request_for

REQUEST = request_for(LocalHub(address="https://hub.example"))


def answered(status: int, **headers: str) -> HubTrouble:
    request = httpx.Request("PUT", "https://store.example/x?signature=planted")
    return HubTrouble(f"answer {status}", httpx.Response(status, headers=headers, request=request))


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (answered(429), False),
        (answered(412), False),
        (answered(403), True),
        (answered(413), True),
        (HubTrouble("ConnectError"), False),
        (PrivateAddress("x"), True),
        (HFValidationError("x"), True),
        (OSError(errno.ENOENT, "No such file or directory"), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (ValueError("malformed"), True),
    ],
)
def test_only_temporary_errors_are_retried(error: Exception, final: bool):
    assert is_final(error) is final


@pytest.mark.parametrize(("text", "waited"), [("7", 7.0), ("100000", None), ("9000", 60.0), ("soon", None), ("", None)])
def test_requested_wait_is_limited(text: str, waited: float | None):
    assert requested_wait(answered(429, **{"Retry-After": text})) == waited


@pytest.mark.parametrize(
    "error", [answered(403), answered(418), HubTrouble("ReadError"), ValueError("x?signature=planted")]
)
def test_message_has_neither_token_nor_signed_url(error: Exception):
    text = explain(error, REQUEST, TOKEN)
    assert "planted" not in text
    assert text.endswith(".")


def test_reason_of_the_hub_is_short_and_on_one_line():
    text = explain(answered(403, **{"X-Error-Message": f"{TOKEN} " + "no " * 500}), REQUEST, TOKEN)
    assert TOKEN not in text
    assert len(text) < 400
    assert "\n" not in text
