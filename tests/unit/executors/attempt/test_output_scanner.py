import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.executors.attempt.output_scanner import OutputScanner

PIECES = st.sampled_from(
    [b"steps: ", b"steps: 1", b"2", b"34 loss", b"\n", b"\r", b"x", b" ", b"DONE", b"DO", b"NE", b"steps", b": 7\n"]
)


def scan(*parts: bytes) -> OutputScanner:
    scanner = OutputScanner(("DONE", "ü!"), "steps: ")
    for part in parts:
        scanner.feed(part)
    scanner.finish()
    return scanner


@given(st.lists(PIECES, max_size=40))
def test_it_sees_the_same_however_the_bytes_are_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    steps, is_done = [], False
    for line in re.split(b"[\r\n]", whole):
        if found := re.match(rb"steps: (\d+)", line):
            steps.append(found[1])
        is_done = (is_done and not found) or re.fullmatch(b"(DONE)+", line) is not None
    for scanner in (scan(*pieces), scan(whole), scan(*(whole[i : i + 1] for i in range(len(whole))))):
        assert scanner.last_step == (int(steps[-1]) if steps else None)
        assert scanner.seen == ({"DONE"} if is_done else set())


@pytest.mark.parametrize(
    "text",
    [
        b"caption: DONE\n",
        b"DONE.\n",
        b" DONE\n",
        b"[rank1]: DONE\n",
        b"not DONE",
        b"DONE, as they say\n",
        b"DONE\nsteps: 3 loss: 0.5\n",
        b"DO\nNE\n",
        b"DONE DONE\n",
        b"x" * 5000 + b"DONE\n",
    ],
)
def test_words_inside_other_words_and_words_before_a_step_are_not_the_trainers(text: bytes) -> None:
    for size in (1, 7, len(text)):
        assert scan(*(text[at : at + size] for at in range(0, len(text), size))).seen == set()


def test_ranks_that_say_it_together_are_heard() -> None:
    assert scan(b"steps: 3 loss\nDONEDONE\n\n").seen == {"DONE"}


def test_a_number_that_goes_on_in_the_next_bytes_is_one_number() -> None:
    assert scan(b"steps: 1", b"7 loss: 0.5\n").last_step == 17


def test_a_step_counts_at_the_beginning_of_a_line_only() -> None:
    assert scan(b"max steps: 500\n").last_step is None


def test_a_carriage_return_ends_a_line() -> None:
    assert scan(b"100%|####\rsteps: 3\r").last_step == 3


def test_a_long_line_hides_nothing() -> None:
    scanner = scan(b"steps: 8 ", *[b"x" * 1000] * 100, b"\nsteps: 9")
    assert scanner.last_step == 9


def test_a_phrase_is_new_once() -> None:
    scanner = OutputScanner(("DONE",), "")
    assert scanner.feed(b"DO") is False
    assert scanner.feed(b"NE\n") is True
    assert scanner.feed(b"DONE\n") is False


def test_a_phrase_may_hold_any_letter() -> None:
    assert scan("ü!".encode()).seen == {"ü!"}


def test_what_was_seen_before_is_taken_up() -> None:
    scanner = OutputScanner(("DONE", "LATE"), "steps: ")
    scanner.restore(["DONE", "unknown"], 12, b"cut off steps: 3\nLA", is_line_start=False)
    scanner.feed(b"TE\n")
    assert (scanner.seen, scanner.last_step) == ({"DONE", "LATE"}, 12)


def test_the_end_of_the_log_is_newer_than_what_was_recorded() -> None:
    scanner = OutputScanner((), "steps: ")
    scanner.restore(None, 12, b"steps: 13\n", is_line_start=True)
    assert scanner.last_step == 13


def test_a_log_that_is_read_from_its_middle_begins_with_no_line() -> None:
    scanner = OutputScanner((), "steps: ")
    scanner.restore(None, None, b"steps: 13\n", is_line_start=False)
    assert scanner.last_step is None
