import errno

import httpx
import pytest
from huggingface_hub.errors import HFValidationError

from api.jobs.pushes.failures import HubTrouble, asked_wait, explain, is_final
from api.util.addresses import PrivateAddress
from tests.local_hub import LocalHub
from tests.unit.jobs.pushes.builders import TOKEN, wish_for

WISH = wish_for(LocalHub(address="https://hub.example"))


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
def test_another_try_is_made_where_it_can_help(error: Exception, final: bool):
    assert is_final(error) is final


@pytest.mark.parametrize(("said", "waited"), [("7", 7.0), ("100000", None), ("9000", 60.0), ("soon", None), ("", None)])
def test_wait_that_is_asked_for_is_bounded(said: str, waited: float | None):
    assert asked_wait(answered(429, **{"Retry-After": said})) == waited


@pytest.mark.parametrize(
    "error", [answered(403), answered(418), HubTrouble("ReadError"), ValueError("x?signature=planted")]
)
def test_words_hold_neither_token_nor_signed_address(error: Exception):
    said = explain(error, WISH, TOKEN)
    assert "planted" not in said
    assert said.endswith(".")


def test_words_of_the_hub_are_cut_and_on_one_line():
    said = explain(answered(403, **{"X-Error-Message": f"{TOKEN} " + "no " * 500}), WISH, TOKEN)
    assert TOKEN not in said
    assert len(said) < 400
    assert "\n" not in said
