import pytest

from api.db.breaker import PAUSE_SECONDS, Breaker
from api.util.clock import FakeClock


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(clock.monotonic)


def test_everybody_is_admitted_while_answers_come(breaker: Breaker):
    breaker.note_answer()
    assert [breaker.admits() for _ in range(3)] == [True] * 3


def test_nobody_is_admitted_right_after_a_silence(breaker: Breaker, clock: FakeClock):
    breaker.note_silence()
    clock.advance(PAUSE_SECONDS - 0.1)
    assert not breaker.admits()


def test_one_at_a_time_tries_again(breaker: Breaker, clock: FakeClock):
    breaker.note_silence()
    clock.advance(PAUSE_SECONDS)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    clock.advance(PAUSE_SECONDS)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_an_answer_lets_everybody_in_again(breaker: Breaker):
    breaker.note_silence()
    breaker.note_answer()
    assert breaker.admits()
