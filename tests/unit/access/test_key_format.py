import base64
import hashlib

import pytest

from api.util.text.key_format import hash_of, key_id_of, new_key, new_token


def test_key_contains_its_id():
    key_id, key = new_key()
    assert key.startswith(f"dp_{key_id}_")
    assert key_id_of(key) == key_id


def test_keys_and_tokens_are_unique():
    assert len({new_key()[1] for _ in range(100)}) == len({new_token() for _ in range(100)}) == 100


def test_secret_has_256_bits():
    key_id, key = new_key()
    secret = key.removeprefix(f"dp_{key_id}_")
    assert len(base64.urlsafe_b64decode(secret + "=")) * 8 == 256


def test_hash_is_sha_256_of_any_characters():
    assert hash_of("é\x00") == hashlib.sha256("é\x00".encode()).hexdigest()


@pytest.mark.parametrize(
    "text", ["", "dp_", "dp_short_x", "dp_ABCDEFGHIJKL_" + "a" * 43, "x" + "dp_abcdefghijkl_" + "a" * 43]
)
def test_malformed_key_has_no_id(text: str):
    assert key_id_of(text) is None


def test_key_with_a_suffix_is_malformed():
    assert key_id_of(new_key()[1] + "\n") is None
