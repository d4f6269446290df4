from datetime import timedelta

import pytest

from api.domain.node import NodeRecord, NodeRole
from api.nodes.other_heads import PRESENT_SECONDS, OtherHeads
from api.util.clock import FakeClock

GPUS = {"gpu2": b'{"gpus": 8}', "gpu3": b'{"gpus": 0}', "old": b"", "odd": b"[1"}


class Looks:
    """One head, and the rows of others in the database."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.heads = OtherHeads("here", clock, lambda names: {name: GPUS[name] for name in names if name in GPUS})
        self.said: dict[str, int] = {}

    def look(self, *signing: str, role: NodeRole = NodeRole.ALL) -> dict[str, int]:
        """Poll after heartbeats of these heads; rows of others stay."""
        self.clock.advance(5)
        self.said |= dict.fromkeys(signing, int(self.clock.monotonic()))
        rows = {
            name: NodeRecord(name, role, last_seen=self.clock.now().replace(year=2020) + timedelta(seconds=at))
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


def test_present_head_with_gpus_causes_a_warning(looks: Looks, clock: FakeClock):
    looks.look()
    assert looks.look("gpu2") == {"gpu2": 8}
    (warning,) = looks.heads.warn()
    assert warning.code == "other_server"
    assert "gpu2 also has a server with ROLE=all on this database: its 8 GPUs are not shown here" in warning.message
    clock.advance(PRESENT_SECONDS + 1)
    assert looks.heads.warn() == ()


def test_unchanged_row_is_not_a_present_head(looks: Looks):
    assert looks.look("gpu2") == {}
    assert not looks.heads.any_present
    assert looks.look("gpu2") == {"gpu2": 8}


def test_head_without_gpus_causes_no_warning(looks: Looks):
    looks.look()
    assert looks.look("gpu3", "old", "odd") == {}
    assert looks.heads.any_present


def test_own_row_and_nodes_are_not_other_heads(looks: Looks):
    looks.look()
    assert looks.look("here") == {}
    assert looks.look("gpu2", role=NodeRole.NODE) == {}


def test_warning_is_logged_once(looks: Looks, caplog: pytest.LogCaptureFixture):
    looks.look()
    for _ in range(3):
        looks.look("gpu2")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
