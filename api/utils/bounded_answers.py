"""The body of an HTTP answer, read within a bound of bytes and of time."""

import time

import httpx


class AnswerTooLong(Exception):
    """An answer has more bytes than are read, or takes longer than is waited."""


def read_answer(answer: httpx.Response, most_bytes: int, give_up_at: float) -> bytes:
    """The body of a streamed answer, unpacked, until the monotonic time `give_up_at`.

    Raises AnswerTooLong, and httpx.HTTPError where the connection fails.
    """
    body = bytearray()
    for part in answer.iter_bytes():
        body += part
        if len(body) > most_bytes or time.monotonic() > give_up_at:
            raise AnswerTooLong("its answer is too long, or takes too long")
    return bytes(body)
