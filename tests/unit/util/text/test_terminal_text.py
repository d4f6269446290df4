import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.util.text.terminal_text import LOOKED_BYTES, MESSAGE_LIMIT, clean, show


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"", ""),
        ("größer █".encode(), "größer █"),
        (b"a\tb", "a\tb"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;a title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bPq#0\x1b\\after", "after"),
        (b"\x1b(Bafter\x1b7", "after"),
        ("\u009b31mred".encode(), "red"),
        (b"10%\r20%\r30%", "30%"),
        (b"10%\r20%\r", "20%"),
        (b"windows\r", "windows"),
        (b"10%\r\x1b[K", "10%"),
        (b"nul\x00bell\x07back\x08del\x7f", "nul\u2400bell\u2407back\u2408del\u2421"),
        (b"bad \xff\xfe utf", "bad \ufffd\ufffd utf"),
        ("\u0085".encode(), "\ufffd"),
        (b"unfinished \x1b[31", "unfinished \u241b[31"),
        (b"unfinished \x1b]0;title", "unfinished \u241b]0;title"),
        ("one\u0090 broken off by\u009d another\u009cafter".encode(), "one\ufffd broken off byafter"),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_line_is_what_a_terminal_would_show(raw: bytes, shown: str):
    assert clean(raw) == (shown, False)


def test_long_line_is_cut():
    assert clean(b"x" * (MESSAGE_LIMIT + 1)) == ("x" * MESSAGE_LIMIT, True)
    assert clean(b"x" * MESSAGE_LIMIT) == ("x" * MESSAGE_LIMIT, False)


def test_only_the_shown_part_of_a_progress_bar_counts():
    assert clean(b"x" * 50_000 + b"\rend") == ("end", False)


FULL = LOOKED_BYTES + 1


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"10%\r" * FULL + b"20%", ("20%", False)),
        (b"10%\r" * FULL + b"20%\r\r", ("20%", False)),
        (b"10%\r" * FULL + b"20%\r\x1b[K", ("20%", False)),
        (b"10%\r" + b"x" * FULL, ("x" * MESSAGE_LIMIT, True)),
        (b"10%\r" + b"x" * FULL + b"\r", ("x" * MESSAGE_LIMIT, True)),
        (b"10%\r" + b"x" * FULL + b"\r\x1b[K", ("x" * MESSAGE_LIMIT, True)),
        (b"x" * FULL + b"\r20%", ("20%", False)),
        (b"begun " + b"\x1b[31m" * FULL, ("begun ", True)),
    ],
)
def test_final_state_of_a_very_long_line_is_found_from_a_part_of_it(raw: bytes, shown: tuple[str, bool]):
    assert clean(raw) == shown


@pytest.mark.parametrize("part", [b"\x1b", b"\x1b]", b"\x1bP", b"\x1b[31m", b"\xc2\x90", b"a\r", b"\x00", b"\xff"])
def test_long_line_costs_no_more_than_the_processed_part(part: bytes):
    # 64 KiB take some milliseconds; the whole mebibyte of these took up to sixty.
    line = part * (2**20 // len(part))
    began = time.thread_time()
    for _ in range(10):
        clean(line)
    assert time.thread_time() - began < 0.2


@given(st.binary(max_size=300))
def test_output_never_contains_control_characters(raw: bytes):
    text, _ = clean(raw.replace(b"\n", b""))
    assert not any(ord(character) < 0x20 and character != "\t" for character in text)
    assert not any(0x7F <= ord(character) < 0xA0 for character in text)
    assert text.encode().decode() == text


@pytest.mark.parametrize("part", [b"\x1b]", b"\x1b[", b"\x1b[1;", b"\x1bP", b"\r", b"\x9d", b"\x00"])
def test_megabyte_of_anything_takes_linear_time(part: bytes):
    # The quantifiers of the pattern are possessive: with backtracking, this test would not end.
    assert clean(part * (2**20 // len(part)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("a\nb\x1b[2Jc\x00", "a␊bc␀"), ("\ud800é", "?é"), ("x" * 99, "x" * 10), ("\x9b2J", "")],
)
def test_text_of_a_program_can_be_shown_anywhere(text: str, shown: str):
    assert show(text, 10) == shown
