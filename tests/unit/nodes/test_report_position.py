import orjson

from api.domain.machines.node import MachineReport
from api.nodes.last_reports import MOST_ERAS, ReportPosition, read_position
from api.nodes.report_check import read_report
from tests.unit.nodes.builders import PLACE, at, report

SENT = 1_000_000.0


def report_at(boot: str = "b1", uptime: float | None = 100.0, sent: float = SENT, **changes: object) -> MachineReport:
    return read_report(report(**{"boot": boot, "uptime": uptime, "sent_at": sent, **changes}), "gpu2")


FIRST = ReportPosition.of(report_at())


def test_repeated_report_is_not_newer():
    assert FIRST.after(report_at()) is None
    assert FIRST.after(report_at(uptime=90.0, sent=SENT - 10)) is None


def test_clock_of_the_node_that_is_set_back_does_not_matter():
    later = FIRST.after(report_at(uptime=105.0, sent=SENT - 3600))
    assert later is not None
    # A report from before the clock change is still not newer.
    assert later.after(report_at()) is None


def test_new_boot_with_an_earlier_clock_is_newer():
    later = FIRST.after(report_at("b2", 1.0, SENT - 3600))
    assert later is not None
    assert later.after(report_at()) is None
    assert later.after(report_at("b1", 90.0, SENT - 10)) is None


def test_machine_that_was_restored_from_an_image_is_newer_by_its_clock():
    assert FIRST.after(report_at(uptime=50.0, sent=SENT + 600)) is not None


def test_older_node_is_ordered_by_start_and_sweep():
    first = ReportPosition.of(report_at("", None, sequence=7))
    assert first.after(report_at("", None, sequence=7)) is None
    assert first.after(report_at("", None, sequence=8, sent=SENT - 3600)) is not None
    assert first.after(report_at("", None, sequence=7, sent=SENT + 5)) is not None
    assert first.after(report_at("", None, sequence=1, place=vars_of("s2"))) is not None


def vars_of(started: str) -> dict[str, object]:
    place = at(PLACE, started=started)
    return {"machine": place.machine, "host": place.host, "port": place.port, "started": place.started}


def test_number_of_remembered_boots_is_limited():
    position: ReportPosition | None = FIRST
    for number in range(3 * MOST_ERAS):
        assert position is not None
        position = position.after(report_at(f"boot {number}", 1.0))
    assert position is not None
    assert len(position.eras) == MOST_ERAS


def test_stored_freshness_is_read_and_an_unreadable_one_is_replaced():
    later = FIRST.after(report_at("b2", 3.0)) or FIRST
    assert read_position(orjson.loads(orjson.dumps(later)), report_at()) == later
    for stored in (None, {}, [], {"eras": 7, "latest_sent": 1}, {"eras": {"b": "x"}, "latest_sent": 1}):
        assert read_position(stored, report_at()) == FIRST
