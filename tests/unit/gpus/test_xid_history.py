import pytest

from api.gpus.xid_history import DAY_SECONDS, INCIDENT_SECONDS, XidHistory


@pytest.fixture
def history() -> XidHistory:
    return XidHistory()


def test_repeated_error_is_the_same_incident(history: XidHistory):
    assert [history.add(79, at, None) for at in (0.0, 0.0, INCIDENT_SECONDS - 1)] == [True, False, False]
    assert history.codes(INCIDENT_SECONDS) == (79,)


def test_later_error_is_another_incident(history: XidHistory):
    assert [history.add(32, at, None) for at in (0.0, INCIDENT_SECONDS)] == [True, True]
    assert history.codes(INCIDENT_SECONDS) == (32, 32)


def test_different_error_is_another_incident(history: XidHistory):
    assert [history.add(code, 0.0, None) for code in (48, 95)] == [True, True]


def test_program_error_counts_once_per_task(history: XidHistory):
    for number, task in enumerate(("a", "a", "b", None, None)):
        history.add(31, number * INCIDENT_SECONDS, task)
    assert history.codes(200.0) == (31, 31)


def test_non_fatal_error_expires_after_a_day(history: XidHistory):
    history.add(94, 0.0, None)
    assert history.codes(DAY_SECONDS) == ()


def test_fatal_error_does_not_expire(history: XidHistory):
    history.add(79, 0.0, None)
    assert history.codes(10 * DAY_SECONDS) == (79,)
