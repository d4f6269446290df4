import pytest

from api.util.http.caller import address_of_caller, kind_of_client, network_of


def test_address_is_that_of_the_connection():
    assert address_of_caller({"client": ("127.0.0.1", 4711)}) == "127.0.0.1"


def test_socket_without_address_has_none():
    assert address_of_caller({"client": None}) is None
    assert address_of_caller({}) is None


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("unknown", "unknown"),
        ("a:b", "a:b"),
        ("x" * 5000, "x" * 80),
    ],
)
def test_every_form_of_an_address_is_one_client(peer: str, address: str):
    assert address_of_caller({"client": (peer, 0)}) == address


def test_addresses_of_one_ipv6_customer_are_one_network():
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::2") != network_of("2001:db8:1:3::1")


@pytest.mark.parametrize("address", [None, "", "x", "a socket"])
def test_clients_without_address_are_one_network(address: str | None):
    assert network_of(address) == "unknown"


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (b"dpipe/1.1.0 (mcp)", "mcp"),
        (b"dpipe/1.1.0", None),
        (b"curl/8 dpipe/1 (mcp)", None),
        (b"dpipe/1 (" + b"m" * 17 + b")", None),
        (b"dpipe/1 (m\xffp)", None),
    ],
)
def test_client_of_this_project_states_its_kind(agent: bytes, kind: str | None):
    assert kind_of_client({"headers": [(b"user-agent", agent)]}) == kind


def test_kind_of_a_client_without_headers_is_unknown():
    assert kind_of_client({}) is None
