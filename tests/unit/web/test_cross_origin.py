import pytest

from api.web.cross_origin import EXPOSED, METHODS, SENDABLE, is_preflight, preflight_headers, reading_headers


def test_a_page_may_read_the_answer_and_its_useful_headers():
    headers = dict(reading_headers(b"https://app.example"))
    assert headers[b"access-control-allow-origin"] == b"https://app.example"
    assert headers[b"access-control-expose-headers"] == EXPOSED.encode()
    assert b"access-control-allow-credentials" not in headers


@pytest.mark.parametrize(
    ("method", "names", "asks"),
    [
        ("OPTIONS", [b"origin", b"access-control-request-method"], True),
        ("OPTIONS", [b"origin"], False),
        ("OPTIONS", [b"access-control-request-method"], False),
        ("POST", [b"origin", b"access-control-request-method"], False),
    ],
)
def test_a_browser_that_asks_first_is_known(method: str, names: list[bytes], asks: bool):
    assert is_preflight(method, dict.fromkeys(names, b"x")) is asks


def test_who_asks_first_is_told_what_may_be_sent_and_for_how_long():
    headers = dict(preflight_headers({}))
    assert headers[b"access-control-allow-methods"] == METHODS.encode()
    assert headers[b"access-control-allow-headers"] == SENDABLE.encode()
    assert int(headers[b"access-control-max-age"]) > 0
    assert b"access-control-allow-private-network" not in headers


def test_a_page_of_the_internet_may_ask_a_machine_of_the_local_network_when_it_asks_to():
    asked = {b"access-control-request-private-network": b"true"}
    assert dict(preflight_headers(asked))[b"access-control-allow-private-network"] == b"true"
