import pytest

from api.util.text.masking import has_userinfo, mask_secrets, mask_userinfo


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:s3cret@host:6379/0", "redis://***@host:6379/0"),
        ("https://hf_abc@huggingface.co/x", "https://***@huggingface.co/x"),
        ("postgresql://u:p@ss@host/db?x=1", "postgresql://***@host/db?x=1"),
        ("a http://u:p@one b https://u:p@two", "a http://***@one b https://***@two"),
        ("https://host/path@2", "https://host/path@2"),
        ("https://host?mail=a@b", "https://host?mail=a@b"),
        ("git@github.com:a/b and a@b", "git@github.com:a/b and a@b"),
    ],
)
def test_userinfo_of_an_address_is_masked(text: str, shown: str):
    assert mask_userinfo(text) == shown
    assert not has_userinfo(shown)
    assert has_userinfo(text) == (text != shown)


@pytest.mark.parametrize(
    "note",
    [
        '# wandb_api_key = "s3cret and more"', "# HF_TOKEN=s3cret", "# my token: s3cret", "# password : 's3cret'",
        "# hf_s3cretabcdefghijklmnop", "# key of Anna sk-s3cretabcdefghijklmnop", "# see https://u:s3cret@host/x",
        "# see dp_abcdefghijkl_s3cretABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijk.",
        "#wandb_api_key='s3cret", "# 0123456789abcdef0123456789abcdef01234567 s",
    ],
)  # fmt: skip
def test_secret_in_a_note_is_masked(note: str):
    shown = mask_secrets(note)
    assert "s3cret" not in shown
    assert "0123456789abcdef" not in shown
    assert "***" in shown
    assert mask_secrets(shown) == shown


@pytest.mark.parametrize("note", ["# secret", "# 3 epochs = 300 steps", "# see https://host/a@b", "# tokenizer is T5"])
def test_other_notes_stay(note: str):
    assert mask_secrets(note) == note


def test_name_of_a_file_with_a_secret_is_shown():
    assert mask_secrets("argument --oidc-client-secret-file: expected one argument") == (
        "argument --oidc-client-secret-file: expected one argument"
    )
