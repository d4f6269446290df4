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
def test_result_does_not_depend_on_chunk_boundaries(pieces: list[bytes]) -> None:
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
def test_phrases_within_other_text_or_before_a_step_are_ignored(text: bytes) -> None:
    for size in (1, 7, len(text)):
        assert scan(*(text[at : at + size] for at in range(0, len(text), size))).seen == set()


def test_phrase_from_several_ranks_together_is_found() -> None:
    assert scan(b"steps: 3 loss\nDONEDONE\n\n").seen == {"DONE"}


def test_number_across_chunks_is_one_number() -> None:
    assert scan(b"steps: 1", b"7 loss: 0.5\n").last_step == 17


def test_step_counts_only_at_the_start_of_a_line() -> None:
    assert scan(b"max steps: 500\n").last_step is None


def test_carriage_return_ends_a_line() -> None:
    assert scan(b"100%|####\rsteps: 3\r").last_step == 3


def test_step_after_a_long_line_is_found() -> None:
    scanner = scan(b"steps: 8 ", *[b"x" * 1000] * 100, b"\nsteps: 9")
    assert scanner.last_step == 9


def test_phrase_is_new_only_once() -> None:
    scanner = OutputScanner(("DONE",), "")
    assert scanner.feed(b"DO") is False
    assert scanner.feed(b"NE\n") is True
    assert scanner.feed(b"DONE\n") is False


def test_phrase_may_contain_any_letter() -> None:
    assert scan("ü!".encode()).seen == {"ü!"}


def test_previous_results_are_restored() -> None:
    scanner = OutputScanner(("DONE", "LATE"), "steps: ")
    scanner.restore(["DONE", "unknown"], 12, b"cut off steps: 3\nLA", is_line_start=False)
    scanner.feed(b"TE\n")
    assert (scanner.seen, scanner.last_step) == ({"DONE", "LATE"}, 12)


def test_end_of_the_log_overrides_the_record() -> None:
    scanner = OutputScanner((), "steps: ")
    scanner.restore(None, 12, b"steps: 13\n", is_line_start=True)
    assert scanner.last_step == 13


def test_log_read_from_the_middle_does_not_start_a_line() -> None:
    scanner = OutputScanner((), "steps: ")
    scanner.restore(None, None, b"steps: 13\n", is_line_start=False)
    assert scanner.last_step is None
