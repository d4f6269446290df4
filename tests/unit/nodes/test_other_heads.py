from datetime import timedelta

import pytest

from api.domain.machines.node import NodeRecord, NodeRole
from api.nodes.other_heads import PRESENT_SECONDS, OtherHeads
from api.util.clock import FakeClock

GPUS = {"gpu2": b'{"gpus": 8}', "gpu3": b'{"gpus": 0}', "old": b"", "odd": b"[1"}


class Observer:
    """One head, and the rows of others in the database."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.heads = OtherHeads("here", clock, lambda names: {name: GPUS[name] for name in names if name in GPUS})
        self.said: dict[str, int] = {}

    def refresh(self, *signing: str, role: NodeRole = NodeRole.ALL) -> dict[str, int]:
        """Poll after heartbeats of these heads; rows of others stay."""
        self.clock.advance(5)
        self.said |= dict.fromkeys(signing, int(self.clock.monotonic()))
        rows = {
            name: NodeRecord(name, role, last_seen=self.clock.now().replace(year=2020) + timedelta(seconds=at))
            for name, at in self.said.items()
        }
        self.heads.refresh(rows)
        return self.heads.with_gpus


@pytest.fixture
def observer(clock: FakeClock) -> Observer:
    return Observer(clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_present_head_with_gpus_causes_a_warning(observer: Observer, clock: FakeClock):
    observer.refresh()
    assert observer.refresh("gpu2") == {"gpu2": 8}
    (warning,) = observer.heads.warn()
    assert warning.code == "other_server"
    assert "gpu2 also has a server with ROLE=all on this database: its 8 GPUs are not shown here" in warning.message
    clock.advance(PRESENT_SECONDS + 1)
    assert observer.heads.warn() == ()


def test_unchanged_row_is_not_a_present_head(observer: Observer):
    assert observer.refresh("gpu2") == {}
    assert not observer.heads.any_present
    assert observer.refresh("gpu2") == {"gpu2": 8}


def test_head_without_gpus_causes_no_warning(observer: Observer):
    observer.refresh()
    assert observer.refresh("gpu3", "old", "odd") == {}
    assert observer.heads.any_present


def test_own_row_and_nodes_are_not_other_heads(observer: Observer):
    observer.refresh()
    assert observer.refresh("here") == {}
    assert observer.refresh("gpu2", role=NodeRole.NODE) == {}


def test_warning_is_logged_once(observer: Observer, caplog: pytest.LogCaptureFixture):
    observer.refresh()
    for _ in range(3):
        observer.refresh("gpu2")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
