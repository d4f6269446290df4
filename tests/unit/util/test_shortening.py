import hashlib
from datetime import UTC, datetime

import orjson
import pytest

from api.util.shortening import MAX_BYTES, MAX_CHARACTERS, MAX_VALUES, shorten, shorten_text


def test_small_safe_value_stays_as_it_is():
    value = {"name": "cats", "rate": 1e-4, "list": [1, None, True], "at": "2026-01-01T00:00:00Z"}
    assert shorten(value) == value
    assert shorten(None) is None


def test_value_becomes_plain_json():
    assert shorten({"at": datetime(2026, 1, 1, tzinfo=UTC), 3: (1, 2)}) == {"at": "2026-01-01T00:00:00Z", "3": [1, 2]}


@pytest.mark.parametrize(
    "value",
    [
        {"api_key": "s3cret"},
        {"env": {"WANDB_API_KEY": "s3cret"}},
        "config_toml # wandb_api_key = 's3cret'",
        ["https://u:s3cret@host/x"],
        "dp_abcdefghijkl_s3cretABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijk",
        {"token=s3cret": 1},
    ],
)
def test_secrets_are_masked(value: object):
    assert b"s3cret" not in orjson.dumps(shorten(value))


def test_long_texts_and_lists_are_cut():
    assert shorten_text("a" * 9999, MAX_CHARACTERS) == "a" * (MAX_CHARACTERS - 1) + "…"
    short = shorten([*range(99)])
    assert (len(short), short[-1]) == (MAX_VALUES + 1, f"… and {99 - MAX_VALUES} more")
    assert shorten({str(n): n for n in range(99)})["…"] == f"{99 - MAX_VALUES} more"


def test_secret_at_the_cut_is_masked_completely():
    secret = "hf_" + "s3cret" * 9
    assert "s3cret" not in shorten_text("a" * (MAX_CHARACTERS - 20) + " " + secret, MAX_CHARACTERS)


def test_value_that_is_still_too_large_is_replaced_by_size_and_hash():
    value = [["x" * 400] * 60] * 60
    whole = orjson.dumps(value)
    assert shorten(value) == {"left_out_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    assert len(whole) > MAX_BYTES


def test_depth_of_nesting_is_limited():
    value: object = 1
    for _ in range(200):
        value = [value]
    assert "…" in str(shorten(value))


def test_characters_that_no_database_accepts_are_replaced():
    assert shorten_text("a\0b\ud800", 10) == "a\N{REPLACEMENT CHARACTER}b?"
