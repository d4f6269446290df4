"""Answers within bounds."""

import time

import httpx
import pytest

from api.utils.bounded_answers import AnswerTooLong, read_answer


def test_an_answer_within_the_bound_is_read_whole():
    assert read_answer(httpx.Response(200, content=b"x" * 10), 10, time.monotonic() + 5) == b"x" * 10


def test_an_answer_over_the_bound_is_given_up():
    with pytest.raises(AnswerTooLong):
        read_answer(httpx.Response(200, content=b"x" * 11), 10, time.monotonic() + 5)


def test_an_answer_that_takes_too_long_is_given_up():
    with pytest.raises(AnswerTooLong):
        read_answer(httpx.Response(200, content=b"x"), 10, time.monotonic() - 1)
