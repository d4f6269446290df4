import pytest

from api.db.circuit_breaker import PAUSE_SECONDS, CircuitBreaker
from api.util.clock import FakeClock


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker(clock.monotonic)


def test_all_reads_are_admitted_while_the_database_answers(breaker: CircuitBreaker):
    breaker.note_success()
    assert [breaker.admits() for _ in range(3)] == [True] * 3


def test_no_read_is_admitted_right_after_a_failure(breaker: CircuitBreaker, clock: FakeClock):
    breaker.note_failure()
    clock.advance(PAUSE_SECONDS - 0.1)
    assert not breaker.admits()


def test_one_read_at_a_time_tries_again(breaker: CircuitBreaker, clock: FakeClock):
    breaker.note_failure()
    clock.advance(PAUSE_SECONDS)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    clock.advance(PAUSE_SECONDS)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_success_admits_all_reads_again(breaker: CircuitBreaker):
    breaker.note_failure()
    breaker.note_success()
    assert breaker.admits()
