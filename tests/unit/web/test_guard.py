import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import HostNotAllowed, MalformedRequest, OriginNotAllowed
from api.web.guard import HostPolicy, host_name, join_headers, request_id_of

NAMES = ("localhost", "127.0.0.1", "[::1]", "gpu.example")
ALLOWED = "https://dashboard.example"


@pytest.fixture
def policy() -> HostPolicy:
    return HostPolicy(NAMES, [ALLOWED])


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8080", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("127.0.0.1:", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]"),
        ("[2001:DB8::1]:1", "[2001:db8::1]"),
        ("", ""),
        ("a:b", ""),
        ("a:80:80", ""),
        ("a:-1", ""),
        ("a:８０", ""),
        ("::1", ""),
        ("[::1]x", ""),
        ("[::1", ""),
    ],
)
def test_name_is_the_host_without_its_port(host: str, name: str):
    assert host_name(host) == name


@pytest.mark.parametrize("host", [b"localhost", b"GPU.example:9", b"[::1]:8080", b"127.0.0.1"])
def test_known_name_is_accepted_repeatedly(policy: HostPolicy, host: bytes):
    for _ in range(2):
        policy.check(host, None)


@pytest.mark.parametrize("host", [None, b""])
def test_missing_name_is_malformed(policy: HostPolicy, host: bytes | None):
    with pytest.raises(MalformedRequest):
        policy.check(host, None)


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example", b"evil.example:8080", b"localhost.evil.example", b"127.0.0.1.nip.io",
        b"127.0.0.1@evil.example", b"evil.example@127.0.0.1", b"127.0.0.1:80@evil.example", b"127.0.0.1:abc",
        b"[::1]evil.example", b"[::1", b"::1", b"0.0.0.0", b"127.1", b"2130706433", b"localhost.",
        b" 127.0.0.1", b"127.0.0.1,evil.example", b"\xff\xfe", b"a" * 5000,
    ],
)  # fmt: skip
def test_foreign_name_is_refused_repeatedly(policy: HostPolicy, host: bytes):
    for _ in range(2):
        with pytest.raises(HostNotAllowed) as refused:
            policy.check(host, None)
    assert len(refused.value.detail) < 300


def test_refusal_explains_how_to_allow_the_name(policy: HostPolicy):
    with pytest.raises(HostNotAllowed, match="ALLOWED_HOSTS"):
        policy.check(b"evil.example", None)


def test_number_of_cached_hosts_is_bounded(policy: HostPolicy):
    for port in range(10_000):
        policy.check(b"localhost:%d" % port, None)
    assert len(policy._passed) <= 256


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"localhost:8080", b"http://localhost:8080"),
        (b"localhost:8080", b"https://LOCALHOST:8080"),
        (b"[::1]:8080", b"http://[::1]:8080"),
        (b"localhost", ALLOWED.encode()),
        (b"localhost", b"HTTPS://Dashboard.Example"),
    ],
)
def test_own_and_allowed_origins_pass(policy: HostPolicy, host: bytes, origin: bytes):
    policy.check(host, origin)


@pytest.mark.parametrize(
    "origin",
    [
        b"",
        b"null",
        b"http://evil.example",
        b"http://localhost:9999",
        b"http://localhost",
        b"ftp://localhost:8080",
        b"localhost:8080",
        b"http://localhost:8080/",
        b"http://localhost:8080@evil.example",
        b"https://dashboard.example.evil.example",
        b"http://dashboard.example",
        b"\xff",
    ],
)
def test_foreign_origin_is_refused(policy: HostPolicy, origin: bytes):
    with pytest.raises(OriginNotAllowed):
        policy.check(b"localhost:8080", origin)


def test_refusal_does_not_repeat_secrets(policy: HostPolicy):
    with pytest.raises(OriginNotAllowed) as refused:
        policy.check(b"localhost:8080", b"http://me:s3cret@evil.example")
    assert "s3cret" not in refused.value.detail
    with pytest.raises(HostNotAllowed) as refused_host:
        policy.check(b"dp_abcdefghijkl_s3cretABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijk.example", None)
    assert "s3cret" not in refused_host.value.detail


@pytest.mark.parametrize(
    ("origin", "crosses"),
    [(None, False), (ALLOWED.encode(), True), (b"HTTPS://Dashboard.Example", True), (b"http://localhost", False)],
)
def test_only_allowed_origins_are_cross_origin(policy: HostPolicy, origin: bytes | None, crosses: bool):
    assert policy.allows_cross(origin) is crosses


@given(st.binary(max_size=60))
def test_any_other_host_is_refused(host: bytes):
    policy = HostPolicy(NAMES)
    if host_name(host.decode("latin-1")) in NAMES:
        policy.check(host, None)
        return
    with pytest.raises((HostNotAllowed, MalformedRequest)):
        policy.check(host, None)


@pytest.mark.parametrize(
    "name", [b"host", b"origin", b"content-length", b"authorization", b"idempotency-key", b"range"]
)
def test_repeated_single_header_is_refused(name: bytes):
    with pytest.raises(MalformedRequest, match=f"more than one {name.decode().title()} header"):
        join_headers([(name, b"x"), (b"accept", b"*/*"), (name, b"x")])


def test_repeated_list_header_is_joined():
    headers = [(b"if-none-match", b'"a"'), (b"x", b"1"), (b"if-none-match", b'"b"'), (b"x", b"2")]
    assert join_headers(headers) == {b"if-none-match": b'"a", "b"', b"x": b"1"}


def test_clients_request_id_is_used():
    assert request_id_of({b"x-request-id": b"4bf92f3577b34da6a3ce929d0e0e4736"}) == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "secret", [b"dp_abcdefghijkl_" + b"a" * 43, b"hf_" + b"a" * 34, b"x:dp_abcdefghijkl_" + b"a" * 43]
)
def test_secret_is_not_used_as_a_request_id(secret: bytes):
    assert secret.decode() not in request_id_of({b"x-request-id": secret})
