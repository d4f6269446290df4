"""Rate limits per key, counted in memory, or in Redis for all servers together."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Flask-Limiter's core: moving windows in memory and in Redis. Usable before Flask, which streams do not enter.
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.exceptions import RedisError

from api.domain.access.principal import Credential, Principal
from api.errors import RateLimited
from api.util.clock import Clock
from api.util.http.caller import network_of
from api.web.operations import RateGroup

logger = logging.getLogger(__name__)

#: Seconds that a request waits for Redis, and for which Redis is not used after it failed to answer.
REDIS_SECONDS = 0.25
PAUSE_SECONDS = 5.0

#: Wrong keys per minute from one address; beyond that they are refused without a check.
WRONG_KEYS = "20/minute"

#: The most seconds by which the clocks of servers that count together may differ.
_SKEW_SECONDS = 60.0

#: The prefix of the counters in Redis.
_PREFIX = "diffusion-pipe:rates"


@dataclass(frozen=True, slots=True)
class RateState:
    """The use of a limit by one client."""

    limit: int
    remaining: int
    reset_at: float  #: Unix seconds when the oldest counted request leaves the window

    @property
    def headers(self) -> dict[str, str]:
        """The response headers that describe the limit."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.reset_at)),
        }

    def refusal(self, now: float, detail: str) -> RateLimited:
        """Return the error for a client that exceeded the limit."""
        retry_after = max(1, math.ceil(self.reset_at - now))
        data = {
            "limit": self.limit,
            "remaining": 0,
            "reset_time": datetime.fromtimestamp(self.reset_at, UTC),
            "retry_after": retry_after,
        }
        return RateLimited(detail, data=data, headers={**self.headers, "Retry-After": str(retry_after)})


class RateLimits:
    """The counters. Used from the event loop only."""

    def __init__(self, limits: Mapping[str, str], clock: Clock, redis_url: str = "") -> None:
        """`limits` maps groups to limits such as `10/hour`; a group without a limit is not counted."""
        self._limits = {RateGroup(group): parse(text) for group, text in limits.items()}
        self._wrong = parse(WRONG_KEYS)
        self._clock = clock
        self._memory = MovingWindowRateLimiter(MemoryStorage())
        self._redis = _open_redis(redis_url) if redis_url else None
        self._silent_until = float("-inf")
        self._is_shared = self._redis is not None

    @property
    def is_shared(self) -> bool:
        """Whether all servers count together; False without Redis, and while it is unavailable."""
        return self._is_shared

    async def count(self, group: RateGroup | None, principal: Principal, address: str | None) -> RateState | None:
        """Count a request and return its state; None without a limit. Raises RateLimited."""
        limit = None if group is None else self._limits.get(group)
        if group is None or limit is None:
            return None
        who = _name(principal, address)
        is_within, state = await self._hit(limit, str(group), who)
        if not is_within:
            raise state.refusal(self._now(), f"The limit for {group} is {limit}. Try again later.")
        return state

    async def note_wrong_key(self, address: str | None) -> None:
        """Count a wrong key. Raises RateLimited once an address has sent too many."""
        is_within, state = await self._hit(self._wrong, "wrong-key", network_of(address))
        if not is_within:
            raise state.refusal(self._now(), "Too many wrong keys were sent from this address. Try again later.")

    async def _hit(self, limit: RateLimitItem, *who: str) -> tuple[bool, RateState]:
        if self._redis is not None and self._clock.monotonic() >= self._silent_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    found = await _hit(self._redis, limit, *who)
            except (RedisError, StorageError, OSError, TimeoutError) as error:
                self._note_silence(error)
            else:
                self._note_answer()
                return found
        # Each server then counts by itself, so requests stay limited.
        return await _hit(self._memory, limit, *who)

    def _note_silence(self, error: Exception) -> None:
        self._silent_until = self._clock.monotonic() + PAUSE_SECONDS
        if self._is_shared:
            # The error message may contain the address with a password.
            extra = {"problem": type(error).__name__}
            logger.warning("Redis is unavailable; each server counts rate limits by itself", extra=extra)
        self._is_shared = False

    def _note_answer(self) -> None:
        if not self._is_shared:
            logger.info("Redis is available again; rate limits are counted together")
        self._is_shared = True

    def _now(self) -> float:
        return self._clock.now().timestamp()


async def _hit(limiter: MovingWindowRateLimiter, limit: RateLimitItem, *who: str) -> tuple[bool, RateState]:
    is_within = await limiter.hit(limit, *who)
    stats = await limiter.get_window_stats(limit, *who)
    if stats.reset_time - time.time() > limit.get_expiry() + _SKEW_SECONDS:
        # The clock was set back: the counted requests are in the future.
        await limiter.clear(limit, *who)
        is_within = await limiter.hit(limit, *who)
        stats = await limiter.get_window_stats(limit, *who)
    return is_within, RateState(limit.amount, max(0, stats.remaining), stats.reset_time)


def _name(principal: Principal, address: str | None) -> str:
    """Return the counter's name: the key, the signed-in user, or the network."""
    if principal.key_id is not None:
        return f"key:{principal.key_id}"
    is_known = principal.credential is not Credential.NONE
    return f"user:{principal.user_id}" if is_known else f"address:{network_of(address)}"


def _open_redis(url: str) -> MovingWindowRateLimiter:
    options: dict[str, Any] = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    prefix = "async+" if not url.startswith("unix://") else "async+redis+"
    return MovingWindowRateLimiter(RedisStorage(prefix + url, implementation="redispy", key_prefix=_PREFIX, **options))
