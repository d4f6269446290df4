"""Authentication with the session cookie, and the pages that may use it."""

import pytest

from api.errors import (
    CrossSite,
    Unauthenticated,
)
from api.web.gate import Gate
from tests.unit.web.gates import COOKIE, bearer, identify, scope_of

OURS = {"origin": "https://gpu.example"}


def test_cookie_authenticates_reads(gate: Gate):
    assert identify(gate, cookie=f"dp_session={COOKIE}").require_principal().user_id == "ann"


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
def test_other_cookies_are_ignored(gate: Gate, cookie: str):
    assert identify(gate, cookie=cookie).require_principal().user_id == "ann"


@pytest.mark.parametrize(
    "cookie", ["", ";;;", "dp_session", "dp_session=", f"xdp_session={COOKIE}", f"DP_SESSION={COOKIE}"]
)
def test_missing_or_other_cookie_is_unauthenticated(gate: Gate, cookie: str):
    with pytest.raises(Unauthenticated):
        identify(gate, cookie=cookie).require_principal()


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_change_by_cookie_requires_our_own_page(gate: Gate, method: str):
    scope, cookie = scope_of(method), f"dp_session={COOKIE}"
    assert identify(gate, scope, cookie=cookie, **OURS).require_principal().user_id == "ann"
    for origin in ({}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "https://gpu.example:9"}):
        with pytest.raises(CrossSite):
            identify(gate, scope, cookie=cookie, **origin).require_principal()


def test_websocket_by_cookie_requires_our_own_page(gate: Gate):
    scope = scope_of(kind="websocket")
    del scope["method"]
    assert identify(gate, scope, cookie=f"dp_session={COOKIE}", **OURS).require_principal().user_id == "ann"
    with pytest.raises(CrossSite):
        identify(gate, scope, cookie=f"dp_session={COOKIE}").require_principal()


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "nonsense"])
def test_read_by_cookie_from_another_site_is_refused(gate: Gate, site: str):
    with pytest.raises(CrossSite):
        identify(gate, cookie=f"dp_session={COOKIE}", sec_fetch_site=site).require_principal()


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_page_and_a_typed_address_may_read_by_cookie(gate: Gate, site: str):
    assert identify(gate, cookie=f"dp_session={COOKIE}", sec_fetch_site=site).require_principal().user_id == "ann"


def test_key_may_be_used_from_any_allowed_page(gate: Gate):
    scope = scope_of("POST")
    assert (
        identify(gate, scope, authorization=bearer(), origin="https://else.example").require_principal().user_id
        == "ann"
    )
