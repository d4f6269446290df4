import orjson

from api.domain.node import MachineReport
from api.nodes.freshness import MOST_ERAS, Freshness, read_freshness
from api.nodes.report_check import read_report
from tests.unit.nodes.builders import PLACE, at, report

SENT = 1_000_000.0


def told(boot: str = "b1", uptime: float | None = 100.0, sent: float = SENT, **changes: object) -> MachineReport:
    return read_report(report(**{"boot": boot, "uptime": uptime, "sent_at": sent, **changes}), "gpu2")


FIRST = Freshness.of(told())


def test_report_that_was_sent_before_is_no_newer():
    assert FIRST.after(told()) is None
    assert FIRST.after(told(uptime=90.0, sent=SENT - 10)) is None


def test_clock_of_the_node_that_is_set_back_does_not_matter():
    later = FIRST.after(told(uptime=105.0, sent=SENT - 3600))
    assert later is not None
    # What was sent before the clock was set back is no newer for that.
    assert later.after(told()) is None


def test_machine_that_booted_again_with_its_clock_set_back_is_newer_and_its_former_boot_is_not():
    later = FIRST.after(told("b2", 1.0, SENT - 3600))
    assert later is not None
    assert later.after(told()) is None
    assert later.after(told("b1", 90.0, SENT - 10)) is None


def test_machine_that_was_restored_from_an_image_is_newer_by_its_clock():
    assert FIRST.after(told(uptime=50.0, sent=SENT + 600)) is not None


def test_older_node_is_known_by_its_start_and_its_sweeps():
    first = Freshness.of(told("", None, sequence=7))
    assert first.after(told("", None, sequence=7)) is None
    assert first.after(told("", None, sequence=8, sent=SENT - 3600)) is not None
    assert first.after(told("", None, sequence=7, sent=SENT + 5)) is not None
    assert first.after(told("", None, sequence=1, place=vars_of("s2"))) is not None


def vars_of(started: str) -> dict[str, object]:
    place = at(PLACE, started=started)
    return {"machine": place.machine, "host": place.host, "port": place.port, "started": place.started}


def test_boots_that_are_remembered_are_bounded():
    fresh: Freshness | None = FIRST
    for number in range(3 * MOST_ERAS):
        assert fresh is not None
        fresh = fresh.after(told(f"boot {number}", 1.0))
    assert fresh is not None
    assert len(fresh.eras) == MOST_ERAS


def test_what_was_stored_is_read_again_and_what_is_unreadable_is_of_the_report():
    later = FIRST.after(told("b2", 3.0)) or FIRST
    assert read_freshness(orjson.loads(orjson.dumps(later)), told()) == later
    for kept in (None, {}, [], {"eras": 7, "latest_sent": 1}, {"eras": {"b": "x"}, "latest_sent": 1}):
        assert read_freshness(kept, told()) == FIRST
