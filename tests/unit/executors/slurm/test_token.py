"""The file with Slurm's token, valid or not."""

import base64
import json
import os
from pathlib import Path

import pytest

from api.executors.slurm.token import TokenFile, parse_token


def jwt(**claims: object) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims)]
    return ".".join([*parts, "signature"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.mark.parametrize("text", [b"t0ken", b"SLURM_JWT=t0ken\n", b"  t0ken\r\n", b"SLURM_JWT=t0ken\r\n\r\n"])
def test_token_file_contains_a_token_or_scontrol_output(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    assert TokenFile(path).read().text == "t0ken"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b" \r\n", "it is empty"),
        (b"SLURM_JWT=", "it must contain one token"),
        (b"a\nb", "one line"),
        (b"a b", "one line"),
        (b"a\0b", "one line"),
        ("tök".encode(), "characters other than ASCII"),
        (b"\xef\xbb\xbft0ken", "characters other than ASCII"),
        (b"a" * 20_000, "more than 16,384 bytes"),
    ],
)
def test_invalid_token_is_reported_without_its_content(path: Path, text: bytes, why: str) -> None:
    path.write_bytes(text)
    with pytest.raises((OSError, ValueError), match=why) as raised:
        TokenFile(path).read()
    assert "a b" not in str(raised.value)


def test_pipe_instead_of_a_file_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    for place in (path, path.parent, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is no plain file"):
            TokenFile(place).read()


def test_link_is_followed_as_mounted_secrets_need_it(path: Path) -> None:
    (path.parent / "data").write_text("t0ken")
    path.symlink_to("data")
    assert TokenFile(path).read().text == "t0ken"


def test_new_token_is_read_immediately(path: Path) -> None:
    file = TokenFile(path)
    for number in range(9):
        path.write_text(f"token{number}") if number % 2 else os.replace(_write(path, f"token{number}"), path)
        assert file.read().text == f"token{number}"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.read()
    path.write_text("back")
    assert file.read().text == "back"


def _write(path: Path, text: str) -> Path:
    new = path.with_name("new")
    new.write_text(text)
    return new


def test_user_and_expiry_are_read_from_the_token() -> None:
    token = parse_token(jwt(sun="trainer", exp=1_764_000_000).encode())
    assert (token.user, token.ends_at) == ("trainer", 1_764_000_000)
    assert token.why_refused(1_764_000_001).startswith("was good until 2025-11-24 16:00:00 UTC")
    assert token.why_refused(1_763_999_999).startswith("was rejected")


@pytest.mark.parametrize("text", [jwt(sun=7, exp="x"), jwt(exp=float("nan")), jwt(exp=10**400), "a.b.c", "a..c", "x"])
def test_token_of_another_form_is_accepted(text: str) -> None:
    token = parse_token(text.encode())
    assert (token.text, token.user, token.ends_at) == (text, None, None)
