from api.utils.caller import address_of_caller


def test_address_is_that_of_the_connection():
    assert address_of_caller({"client": ("127.0.0.1", 4711)}) == "127.0.0.1"


def test_socket_without_address_has_none():
    assert address_of_caller({"client": None}) is None
    assert address_of_caller({}) is None
