from datetime import timedelta

import pytest

from api.domain.node import KeptNode, NodeRole
from api.nodes.other_heads import THERE_SECONDS, OtherHeads
from api.util.clock import FakeClock

GPUS = {"gpu2": b'{"gpus": 8}', "gpu3": b'{"gpus": 0}', "old": b"", "odd": b"[1"}


class Looks:
    """One head, and what it finds in the database about others."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.heads = OtherHeads("here", clock, lambda names: {name: GPUS[name] for name in names if name in GPUS})
        self.said: dict[str, int] = {}

    def look(self, *signing: str, role: NodeRole = NodeRole.ALL) -> dict[str, int]:
        """Looks after these have given a sign; what others wrote last stays."""
        self.clock.advance(5)
        self.said |= dict.fromkeys(signing, int(self.clock.monotonic()))
        rows = {
            name: KeptNode(name, role, last_seen=self.clock.now().replace(year=2020) + timedelta(seconds=at))
            for name, at in self.said.items()
        }
        self.heads.look(rows)
        return self.heads.with_gpus


@pytest.fixture
def looks(clock: FakeClock) -> Looks:
    return Looks(clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_another_machines_server_with_gpus_is_warned_of_while_it_gives_signs(looks: Looks, clock: FakeClock):
    looks.look()
    assert looks.look("gpu2") == {"gpu2": 8}
    (warning,) = looks.heads.warn()
    assert warning.code == "other_server"
    assert "gpu2, too, has a server with ROLE=all on this database: its 8 GPUs are not shown here" in warning.message
    clock.advance(THERE_SECONDS + 1)
    assert looks.heads.warn() == ()


def test_a_row_that_was_there_at_the_start_and_does_not_change_is_nobody(looks: Looks):
    assert looks.look("gpu2") == {}
    assert not looks.heads.are_there
    assert looks.look("gpu2") == {"gpu2": 8}


def test_a_server_without_gpus_or_of_an_older_version_hides_none(looks: Looks):
    looks.look()
    assert looks.look("gpu3", "old", "odd") == {}
    assert looks.heads.are_there


def test_this_servers_own_row_and_machines_that_tell_are_no_other_servers(looks: Looks):
    looks.look()
    assert looks.look("here") == {}
    assert looks.look("gpu2", role=NodeRole.NODE) == {}


def test_it_is_logged_once(looks: Looks, caplog: pytest.LogCaptureFixture):
    looks.look()
    for _ in range(3):
        looks.look("gpu2")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
