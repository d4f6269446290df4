"""Who comes with the cookie of a sign-in, and from which page."""

import pytest

from api.errors import (
    CrossSite,
    Unauthenticated,
)
from api.web.gate import Gate
from tests.unit.web.gates import COOKIE, bearer, identify, scope_of

OURS = {"origin": "https://gpu.example"}


def test_a_cookie_reads(gate: Gate):
    assert identify(gate, cookie=f"dp_session={COOKIE}").show().user_id == "ann"


@pytest.mark.parametrize(
    "cookie",
    [
        f"a=b; dp_session={COOKIE}",
        f"strange name=x; {{}}; dp_session={COOKIE}",
        f"dp_session={COOKIE};dp_session=other",
        f"a={'x' * 60_000}; dp_session={COOKIE}",
        'a="' + "\\" * 50_000 + f'"; dp_session={COOKIE}',
    ],
)
def test_other_cookies_do_not_matter(gate: Gate, cookie: str):
    assert identify(gate, cookie=cookie).show().user_id == "ann"


@pytest.mark.parametrize(
    "cookie", ["", ";;;", "dp_session", "dp_session=", f"xdp_session={COOKIE}", f"DP_SESSION={COOKIE}"]
)
def test_no_or_another_cookie_is_nobody(gate: Gate, cookie: str):
    with pytest.raises(Unauthenticated):
        identify(gate, cookie=cookie).show()


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_change_by_cookie_comes_from_our_own_page(gate: Gate, method: str):
    scope, cookie = scope_of(method), f"dp_session={COOKIE}"
    assert identify(gate, scope, cookie=cookie, **OURS).show().user_id == "ann"
    for origin in ({}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "https://gpu.example:9"}):
        with pytest.raises(CrossSite):
            identify(gate, scope, cookie=cookie, **origin).show()


def test_a_socket_by_cookie_comes_from_our_own_page(gate: Gate):
    scope = scope_of(kind="websocket")
    del scope["method"]
    assert identify(gate, scope, cookie=f"dp_session={COOKIE}", **OURS).show().user_id == "ann"
    with pytest.raises(CrossSite):
        identify(gate, scope, cookie=f"dp_session={COOKIE}").show()


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "nonsense"])
def test_a_browser_says_when_another_site_reads_by_cookie(gate: Gate, site: str):
    with pytest.raises(CrossSite):
        identify(gate, cookie=f"dp_session={COOKIE}", sec_fetch_site=site).show()


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_page_and_a_typed_address_may_read_by_cookie(gate: Gate, site: str):
    assert identify(gate, cookie=f"dp_session={COOKIE}", sec_fetch_site=site).show().user_id == "ann"


def test_a_key_may_come_from_any_page_that_the_host_policy_lets_in(gate: Gate):
    scope = scope_of("POST")
    assert identify(gate, scope, authorization=bearer(), origin="https://else.example").show().user_id == "ann"
