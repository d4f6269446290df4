"""Warnings about a node's version and clock. Pure functions."""

import re
from collections.abc import Iterator

from api import __version__
from api.domain.node import NodeWarning
from api.domain.reason import Reason

#: Seconds that two clocks may differ without a warning.
SKEW_SECONDS = 2.0

_NUMBERS = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


def warn(version: str | None, clock_offset: float | None, own: str = __version__) -> Iterator[NodeWarning]:
    """Yield warnings for a version other than this server's, and for a clock that is off by more than 2 s."""
    other, ours = _numbers(version), _numbers(own)
    if other is not None and ours is not None and other != ours:
        if other > ours:
            yield _warning(
                Reason.of(
                    "it runs {version}, which is newer than this head's {own}: update the head first",
                    "newer_version",
                    version=version,
                    own=own,
                )
            )
        else:
            yield _warning(
                Reason.of(
                    "it runs {version}, which is older than this head's {own}: update it",
                    "older_version",
                    version=version,
                    own=own,
                )
            )
    if clock_offset is not None and abs(clock_offset) > SKEW_SECONDS:
        yield _warning(
            Reason.of(
                "its clock is {seconds} s off this server's: start chrony or another NTP client on both",
                "clock_skew",
                seconds=f"{clock_offset:+.1f}",
            )
        )


def _warning(message: Reason) -> NodeWarning:
    return NodeWarning(message.said.code, message.text, message.said)


def _numbers(version: str | None) -> tuple[int, ...] | None:
    match = _NUMBERS.match(version or "")
    return None if match is None else tuple(int(part or 0) for part in match.groups())
