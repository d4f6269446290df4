import pytest

from api.web.guard import EXPOSED, METHODS, SENDABLE, is_preflight, preflight_headers, reading_headers


def test_page_may_read_the_response_and_its_useful_headers():
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
def test_preflight_is_recognised(method: str, names: list[bytes], asks: bool):
    assert is_preflight(method, dict.fromkeys(names, b"x")) is asks


def test_preflight_lists_allowed_methods_headers_and_the_cache_time():
    headers = dict(preflight_headers({}))
    assert headers[b"access-control-allow-methods"] == METHODS.encode()
    assert headers[b"access-control-allow-headers"] == SENDABLE.encode()
    assert int(headers[b"access-control-max-age"]) > 0
    assert b"access-control-allow-private-network" not in headers


def test_public_page_may_call_a_local_machine_if_it_requests_so():
    preflight = {b"access-control-request-private-network": b"true"}
    assert dict(preflight_headers(preflight))[b"access-control-allow-private-network"] == b"true"
