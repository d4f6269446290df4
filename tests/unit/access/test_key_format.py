import base64
import hashlib

import pytest

from api.util.key_format import hash_of, key_id_of, new_key, new_token


def test_a_key_names_its_id():
    key_id, key = new_key()
    assert key.startswith(f"dp_{key_id}_")
    assert key_id_of(key) == key_id


def test_no_two_keys_and_no_two_tokens_are_alike():
    assert len({new_key()[1] for _ in range(100)}) == len({new_token() for _ in range(100)}) == 100


def test_a_secret_has_256_bits():
    key_id, key = new_key()
    secret = key.removeprefix(f"dp_{key_id}_")
    assert len(base64.urlsafe_b64decode(secret + "=")) * 8 == 256


def test_the_hash_is_sha_256_and_takes_any_characters():
    assert hash_of("é\x00") == hashlib.sha256("é\x00".encode()).hexdigest()


@pytest.mark.parametrize(
    "text", ["", "dp_", "dp_short_x", "dp_ABCDEFGHIJKL_" + "a" * 43, "x" + "dp_abcdefghijkl_" + "a" * 43]
)
def test_what_does_not_look_like_a_key_has_no_id(text: str):
    assert key_id_of(text) is None


def test_a_key_with_something_behind_it_is_none():
    assert key_id_of(new_key()[1] + "\n") is None
