"""Rate limits, counted in memory, and by two servers in a real Redis."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from api.access.rates import PAUSE_SECONDS, RateLimits, RateState
from api.domain.access.principal import ANONYMOUS, Credential, Principal
from api.errors import RateLimited
from api.util.clock import FakeClock, SystemClock
from api.util.text.setting_texts import RATE_GROUPS
from api.web.operations import RateGroup
from tests.redis_servers import OwnRedis

T = TypeVar("T")

ANN = Principal("ann", None, frozenset(), Credential.KEY, "key-of-ann")
THREE = {"starts": "3/hour"}


@pytest.fixture
def run() -> Iterator[Any]:
    """One event loop for a whole test, like a server."""
    with asyncio.Runner() as runner:

        def run(work: Coroutine[Any, Any, T]) -> T:
            return runner.run(work)

        yield run


def count(rates: RateLimits, who: Principal = ANN, address: str | None = None) -> Any:
    return rates.count(RateGroup.STARTS, who, address)


def test_default_limits_name_every_group():
    assert set(RATE_GROUPS) == {str(group) for group in RateGroup}


def test_each_request_reduces_the_remaining_count(run: Any):
    rates = RateLimits(THREE, SystemClock())
    left = [run(count(rates)).remaining for _ in range(3)]
    assert left == [2, 1, 0]


def test_request_beyond_the_limit_gets_a_retry_time(run: Any):
    rates = RateLimits(THREE, SystemClock())
    for _ in range(3):
        run(count(rates))
    with pytest.raises(RateLimited) as refused:
        run(count(rates))
    assert (refused.value.data["limit"], refused.value.data["remaining"]) == (3, 0)
    assert 3590 <= refused.value.data["retry_after"] <= 3600
    assert refused.value.headers["Retry-After"] == str(refused.value.data["retry_after"])
    assert refused.value.headers["X-RateLimit-Remaining"] == "0"


@pytest.mark.parametrize("back", [25 * 3600, 366 * 86_400])
def test_clock_set_back_locks_no_client_out(run: Any, monkeypatch: pytest.MonkeyPatch, back: int):
    rates, real = RateLimits(THREE, SystemClock()), time.time
    for _ in range(3):
        run(count(rates))
    monkeypatch.setattr(time, "time", lambda: real() - back)
    assert run(count(rates)).reset_at <= time.time() + 3601
    for _ in range(2):
        run(count(rates))
    with pytest.raises(RateLimited):
        run(count(rates))


def test_keys_are_counted_separately(run: Any):
    rates = RateLimits(THREE, SystemClock())
    for _ in range(3):
        run(count(rates))
    assert run(count(rates, replace(ANN, key_id="another"))).remaining == 2


def test_user_signed_in_without_a_key_is_counted_by_name(run: Any):
    rates = RateLimits(THREE, SystemClock())
    signed_in = replace(ANN, key_id=None, credential=Credential.SESSION, session="first")
    run(count(rates, signed_in, "10.0.0.1"))
    assert run(count(rates, replace(signed_in, session="second"), "10.0.0.2")).remaining == 1


def test_caller_without_a_key_is_counted_by_address(run: Any):
    rates = RateLimits(THREE, SystemClock())
    run(count(rates, ANONYMOUS, "10.0.0.1"))
    assert run(count(rates, ANONYMOUS, "10.0.0.1")).remaining == 1
    assert run(count(rates, ANONYMOUS, "10.0.0.2")).remaining == 2


def test_group_without_a_limit_is_not_counted(run: Any):
    assert run(RateLimits({}, SystemClock()).count(RateGroup.STARTS, ANN, None)) is None


def test_wrong_keys_of_an_address_are_refused_after_some(run: Any):
    rates = RateLimits({}, SystemClock())
    for _ in range(20):
        run(rates.note_wrong_key("10.0.0.1"))
    with pytest.raises(RateLimited):
        run(rates.note_wrong_key("10.0.0.1"))
    run(rates.note_wrong_key("10.0.0.2"))


def test_reset_header_is_rounded_up():
    assert RateState(3, 1, 1000.2).headers["X-RateLimit-Reset"] == "1001"


# -- with Redis --------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    with OwnRedis(tmp_path) as redis:
        redis.start()
        yield redis


def test_two_servers_count_together(run: Any, redis: OwnRedis):
    one, other = (RateLimits(THREE, SystemClock(), redis.url) for _ in range(2))
    run(count(one))
    assert run(count(other)).remaining == 1


@pytest.mark.parametrize("trouble", ["kill", "freeze"])
def test_unavailable_redis_does_not_lift_the_limits(
    run: Any, redis: OwnRedis, trouble: str, caplog: pytest.LogCaptureFixture
):
    rates = RateLimits(THREE, SystemClock(), redis.url)
    run(count(rates))
    getattr(redis, trouble)()
    for _ in range(3):
        run(count(rates))
    with pytest.raises(RateLimited):
        run(count(rates))
    assert not rates.is_shared
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_redis_is_used_again_when_it_is_back(run: Any, redis: OwnRedis):
    clock = FakeClock()
    rates = RateLimits(THREE, clock, redis.url)
    redis.freeze()
    run(count(rates))
    redis.thaw()
    clock.advance(PAUSE_SECONDS)
    run(count(rates))
    assert rates.is_shared
