"""Ports for the masters of trainers."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from api.executors import ports
from api.executors.ports import pick_port


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port in use, the first of 41."""
    with closing(socket.socket()) as listener:
        listener.bind(("", 0))
        port = listener.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST_PORT", port)
        monkeypatch.setattr(ports, "LAST_PORT", port + 40)
        yield port


def test_port_in_use_is_skipped(taken: int):
    picked = {pick_port(()) for _ in range(200)}
    assert taken not in picked
    assert len(picked) > 1


def test_port_of_another_attempt_is_skipped(taken: int):
    held = {taken + offset for offset in range(1, 21)}
    assert held.isdisjoint(pick_port(held) for _ in range(200))


def test_first_port_is_returned_if_none_is_free(taken: int):
    assert pick_port(range(taken, taken + 41)) == taken
