"""The file with Slurm's token, whatever stands in its place."""

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
def test_a_token_stands_there_alone_or_as_scontrol_prints_it(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    assert TokenFile(path).read().text == "t0ken"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b" \r\n", "it is empty"),
        (b"SLURM_JWT=", "it holds no token"),
        (b"a\nb", "one line"),
        (b"a b", "one line"),
        (b"a\0b", "one line"),
        ("tök".encode(), "other characters than ASCII's"),
        (b"\xef\xbb\xbft0ken", "other characters than ASCII's"),
        (b"a" * 20_000, "more than 16,384 bytes"),
    ],
)
def test_what_is_no_token_is_told_without_its_content(path: Path, text: bytes, why: str) -> None:
    path.write_bytes(text)
    with pytest.raises((OSError, ValueError), match=why) as told:
        TokenFile(path).read()
    assert "a b" not in str(told.value)


def test_what_is_no_file_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    for place in (path, path.parent, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is no plain file"):
            TokenFile(place).read()


def test_a_link_is_followed_as_secrets_are_mounted_so(path: Path) -> None:
    (path.parent / "data").write_text("t0ken")
    path.symlink_to("data")
    assert TokenFile(path).read().text == "t0ken"


def test_a_new_one_in_its_place_is_read_at_once(path: Path) -> None:
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


def test_whose_it_is_and_how_long_it_holds_stands_in_it() -> None:
    token = parse_token(jwt(sun="trainer", exp=1_764_000_000).encode())
    assert (token.user, token.ends_at) == ("trainer", 1_764_000_000)
    assert token.why_refused(1_764_000_001).startswith("was good until 2025-11-24 16:00:00 UTC")
    assert token.why_refused(1_763_999_999).startswith("is not taken")


@pytest.mark.parametrize("text", [jwt(sun=7, exp="x"), jwt(exp=float("nan")), jwt(exp=10**400), "a.b.c", "a..c", "x"])
def test_a_token_of_another_form_is_one_all_the_same(text: str) -> None:
    token = parse_token(text.encode())
    assert (token.text, token.user, token.ends_at) == (text, None, None)
