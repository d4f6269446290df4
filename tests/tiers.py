"""The command that runs a test: `make test` the quick ones, `make test-all` also the slow, `make test-long` the long.

A test is quick unless its folder is slow. A marker on the test or its module overrides that: `quick` on a test of a
slow folder that stands for one complete workflow, `slow` on tests of seconds elsewhere, `long` on tests of minutes.
"""

import pytest

from tests.ordering import SLOW

TIERS = ("quick", "slow", "long")

#: Programs other than Python that quick tests may need; all others are for `make test-all` only.
OF_QUICK_TESTS = frozenset({"redis-server"})

_tier = pytest.StashKey[str]()
_running: list[str] = []


def tier_of(item: pytest.Item) -> str:
    """Return the tier of a test: that of the marker closest to it, else that of its folder."""
    closest = next((mark.name for mark in item.iter_markers() if mark.name in TIERS), None)
    return closest or ("slow" if item.nodeid.startswith(SLOW) else "quick")


def mark_tiers(items: list[pytest.Item]) -> None:
    """Give every test the marker of its tier and of no other, so that `-m` selects by it."""
    for item in items:
        item.stash[_tier] = tier_of(item)
    for item in items:
        for node in item.listchain():
            node.own_markers[:] = [mark for mark in node.own_markers if mark.name not in TIERS]
    for item in items:
        item.add_marker(item.stash[_tier])


def begin(item: pytest.Item) -> None:
    """Record the running test for `check_program`."""
    _running[:] = [item.stash.get(_tier, "slow")]


def check_program(name: str) -> None:
    """Fail a quick test that starts a program which only machines for `make test-all` have."""
    if _running == ["quick"] and name not in OF_QUICK_TESTS:
        pytest.fail(f"this test needs {name}: mark it slow, or it fails where only `make test` is to pass")
