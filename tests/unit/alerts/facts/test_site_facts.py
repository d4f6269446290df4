import math
from collections import namedtuple
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from api.alerts.evaluation import FactTable, is_breaching
from api.alerts.facts.ages import Ages
from api.alerts.facts.site_facts import (
    UNREPORTED_SECONDS,
    DiskFacts,
    NodeFacts,
    ServiceFacts,
    ServiceSources,
    StartLog,
    channel_table,
    key_table,
    machine_scope,
    user_table,
)
from api.alerts.records.fact_store import AlertFactStore
from api.alerts.rules.builtin import BUILTIN_RULES
from api.alerts.rules.measurable import metrics_of
from api.db.tables import leadership
from api.domain.access.principal import AccessKey, Quota, Role, User
from api.domain.alerts.alert import AlertTarget
from api.domain.alerts.alert_rule import RuleScope
from api.domain.tasks.usage import Usage
from api.errors import DatabaseUnavailable
from api.gpus.other_machines import NodePart
from api.gpus.state import GPUState
from api.nodes.store import Node, NodeStore
from api.util.clock import FakeClock
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.fact_builders import NOW, channel
from tests.unit.builders import judged, reading, snapshot

DiskUsed = namedtuple("DiskUsed", "total used free")
GB = 1024**3


def test_filling_disk_has_a_time_until_it_is_full(clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    disk = {"free": 200.0}
    monkeypatch.setattr("shutil.disk_usage", lambda _: DiskUsed(1000 * GB, 0, int(disk["free"] * GB)))
    facts = DiskFacts([tmp_path, tmp_path], "n", clock)
    assert len(facts.table().targets) == 1
    assert math.isnan(facts.table().value("hours_to_full_1h", 0))
    for _ in range(120):
        clock.advance(60)
        disk["free"] -= 10 / 60
        table = facts.table()
    assert table.value("hours_to_full_1h", 0) == pytest.approx(18, rel=0.05)
    assert table.value("hours_to_full_6h", 0) == pytest.approx(18, rel=0.05)
    assert table.value("free_percent", 0) == pytest.approx(18, rel=0.05)
    clock.advance(60)
    disk["free"] = 300
    assert facts.table().value("hours_to_full_1h", 0) == math.inf


def test_facts_of_a_missing_disk_are_unknown(clock: FakeClock, tmp_path: Path):
    table = DiskFacts([tmp_path / "absent"], "n", clock).table()
    assert math.isnan(table.value("free_gb", 0))


def test_time_without_database_is_counted(desk: Desk, clock: FakeClock, tmp_path: Path):
    trouble: list[DatabaseUnavailable] = []
    starts = StartLog(tmp_path / "starts", "me", lambda _: False, clock)
    facts = ServiceFacts("n", lambda: trouble[0] if trouble else None, starts, AlertFactStore(desk.database), clock)
    state = GPUState("n", snapshot(reading()), (), {}, 0)
    table = facts.table(state)
    assert table.columns.keys() == metrics_of(RuleScope.SERVICE).keys()
    assert (table.value("database_away_seconds", 0), table.value("source_failing", 0)) == (0, 0)
    assert table.value("unclean_start_age", 0) == math.inf
    trouble.append(DatabaseUnavailable("gone"))
    facts.table(state)
    clock.advance(31)
    table = facts.table(replace(state, snapshot=replace(state.snapshot, problem="no driver")))
    assert (table.value("database_away_seconds", 0), table.value("source_failing", 0)) == (31, 1)
    assert table.targets[0].summary_values["source_problem"] == "no driver"


def test_problems_of_trackers_and_unknown_gpus_of_comfyui_are_facts(desk: Desk, clock: FakeClock, tmp_path: Path):
    problems: dict[str, str | None] = {"wandb": None, "mlflow": "401 Unauthorized"}
    starts = StartLog(tmp_path / "starts", "me", lambda _: False, clock)
    facts = ServiceFacts(
        "n",
        lambda: None,
        starts,
        AlertFactStore(desk.database),
        clock,
        ServiceSources(trackers=lambda: problems, comfyui_gpus=("0", "here:0", "7", "GPU-x")),
    )
    state = GPUState("here", snapshot(reading(index=0)), (), {}, 0)
    assert math.isnan(facts.table(state).value("comfyui_gpus_unknown", 0))
    gpu = judged(reading(index=0))
    state = replace(state, gpus=(gpu,))
    table = facts.table(state)
    assert (table.value("trackers_failing", 0), table.value("comfyui_gpus_unknown", 0)) == (1, 2)
    shown = table.targets[0].summary_values
    assert (shown["trackers"], shown["tracker_problem"]) == ("mlflow", "401 Unauthorized")
    assert shown["comfyui_gpus"] == "7, GPU-x"
    for rule_id in ("tracker_failing", "comfyui_gpus_unknown"):
        assert is_breaching(BUILTIN_RULES[rule_id], table, 0)
    problems["mlflow"] = None
    assert not is_breaching(BUILTIN_RULES["tracker_failing"], facts.table(state), 0)
    # A GPU that cannot be read may be the one.
    state = replace(state, snapshot=replace(state.snapshot, problem="no driver"))
    assert math.isnan(facts.table(state).value("comfyui_gpus_unknown", 0))


def test_machine_is_silent_if_its_lease_is_not_renewed(desk: Desk, clock: FakeClock, tmp_path: Path):
    nodes = NodeStore(desk.database)
    for name in ("here", "there"):
        nodes.register(Node(name, name, is_settled=True), tmp_path / name)
    row = leadership.insert().values(scope=machine_scope("there"), fence=1, holder="x", expires_at=1.0)
    with desk.database.write() as connection:
        connection.execute(row)
    facts = NodeFacts(AlertFactStore(desk.database), "here", clock, tuple)
    assert [target.key for target in facts.table().targets] == ["there"]
    clock.advance(91)
    assert facts.table().value("silent_seconds", 0) == 91
    with desk.database.write() as connection:
        connection.execute(leadership.update().values(expires_at=2.0))
    assert facts.table().value("silent_seconds", 0) == 0


def test_reporting_machine_is_silent_without_reports(desk: Desk, clock: FakeClock):
    parts = [NodePart("gpu2", snapshot(), clock.monotonic()), NodePart("gpu3", snapshot(), 0.0, has_left=True)]
    facts = NodeFacts(AlertFactStore(desk.database), "here", clock, lambda: parts)
    clock.advance(91)
    assert [target.key for target in facts.table().targets] == ["gpu2"]
    assert facts.table().value("silent_seconds", 0) == 91


def test_node_without_report_since_the_start_is_unknown_at_first_and_then_silent(desk: Desk, clock: FakeClock):
    parts = [NodePart("gpu2", snapshot(), clock.monotonic(), has_reported=False)]
    facts = NodeFacts(AlertFactStore(desk.database), "here", clock, lambda: parts)
    clock.advance(UNREPORTED_SECONDS)
    assert math.isnan(facts.table().value("silent_seconds", 0))
    clock.advance(1)
    assert facts.table().value("silent_seconds", 0) == UNREPORTED_SECONDS + 1


def test_long_machine_name_fits_into_its_scope():
    assert len(machine_scope("n" * 255)) <= 64
    assert machine_scope("n" * 255) != machine_scope("m" * 255)


def test_disabled_channels_have_no_facts(clock: FakeClock):
    clock.advance(20)
    ages = Ages(clock)
    broken = replace(channel("a"), failures=7)
    aside = replace(channel("b", enabled=False), disabled_reason="refused")
    table = channel_table([broken, aside, channel("c", enabled=False)], {"a": NOW}, ages)
    assert [target.key for target in table.targets] == ["a", "b"]
    assert (table.value("failures", 0), table.value("oldest_unsent_seconds", 0)) == (7, 20)
    assert table.targets[1].summary_values["last_error"] == "refused"
    assert [is_breaching(BUILTIN_RULES["delivery_broken"], table, index) for index in (0, 1)] == [True, True]
    assert [table.value("put_aside", index) for index in (0, 1)] == [0, 1]


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_ages_no_message_start_or_action(desk: Desk, clock: FakeClock, tmp_path: Path, hours: int):
    StartLog(tmp_path / "starts", "dead", lambda _: False, clock).note_start()
    clock.advance(60)
    starts = StartLog(tmp_path / "starts", "me", lambda _: False, clock)
    starts.note_start()
    service = ServiceFacts("n", lambda: None, starts, AlertFactStore(desk.database), clock)
    state, ages, at = GPUState("n", snapshot(reading()), (), {}, 0), Ages(clock), clock.now()
    service.table(state)
    channel_table([channel("a")], {"a": at}, ages)
    clock.jump(hours * 3600)
    clock.advance(5)
    table = service.table(state)
    assert (table.value("unclean_start_age", 0), table.value("starts_15m", 0)) == (5, 2)
    assert channel_table([channel("a")], {"a": at}, ages).value("oldest_unsent_seconds", 0) == 5


@pytest.mark.parametrize(
    ("percent", "gigabytes", "low"),
    [(100, 0.9, False), (5, 900, False), (9, 49, True), (30, 10, False), (9, 0.1, True)],
)
def test_disk_is_low_by_its_share_and_by_its_space(percent: float, gigabytes: float, low: bool):
    columns = {"free_percent": [float(percent)], "free_gb": [gigabytes]}
    table = FactTable(RuleScope.DISK, (AlertTarget("n:/"),), columns)
    assert is_breaching(BUILTIN_RULES["disk_low"], table, 0) is low


def test_expiring_keys_are_facts():
    key = AccessKey("k1", "ann", "x", Role.TRAINER, None, NOW, "root", NOW + timedelta(days=3), NOW - timedelta(days=1))
    table = key_table([key, replace(key, key_id="k2", expires_at=None), replace(key, key_id="k3", revoked_at=NOW)], NOW)
    assert [target.owner for target in table.targets] == ["ann"]
    assert (table.value("days_left", 0), table.value("unused_days", 0)) == (3, 1)


def test_most_used_quota_of_a_user_counts():
    users = [User(name, Quota(), NOW) for name in ("ann", "bob", "eve")]
    quotas = {"ann": Quota(gpu_hours_per_day=10, storage_gb=100), "bob": Quota(gpus=1), "eve": Quota(storage_gb=1)}
    usage = {"ann": Usage(0, 0, 9.0, 20.0), "eve": Usage(0, 0, 0.0, None)}
    table = user_table(users, quotas.__getitem__, usage)
    assert [target.key for target in table.targets] == ["ann", "eve"]
    assert table.value("quota_percent", 0) == 90
    assert math.isnan(table.value("quota_percent", 1))


def test_start_after_a_clean_end_is_clean(tmp_path: Path, clock: FakeClock):
    first = StartLog(tmp_path / "starts", "one", lambda _: False, clock)
    first.note_start()
    first.note_end()
    clock.advance(5)
    second = StartLog(tmp_path / "starts", "two", lambda _: False, clock)
    second.note_start()
    assert second.unclean_at is None
    assert [at - clock.now().timestamp() for at in second.starts] == [-5, 0]


def test_start_after_a_crash_is_unclean(tmp_path: Path, clock: FakeClock):
    StartLog(tmp_path / "starts", "one", lambda _: False, clock).note_start()
    clock.advance(60)
    second = StartLog(tmp_path / "starts", "two", lambda _: False, clock)
    second.note_start()
    assert second.unclean_at == clock.now().timestamp()


def test_another_running_server_is_no_crash(tmp_path: Path, clock: FakeClock):
    first = StartLog(tmp_path / "starts", "one", lambda _: True, clock)
    first.note_start()
    second = StartLog(tmp_path / "starts", "two", lambda _: True, clock)
    second.note_start()
    second.note_end()
    assert second.unclean_at is None
    third = StartLog(tmp_path / "starts", "three", lambda identity: identity != "one", clock)
    third.note_start()
    assert third.unclean_at is not None


def test_unreadable_record_is_restarted(tmp_path: Path, clock: FakeClock):
    (tmp_path / "starts").write_text('{"running": 5}')
    log = StartLog(tmp_path / "starts", "one", lambda _: False, clock)
    log.note_start()
    assert (log.unclean_at, len(log.starts)) == (None, 1)


def test_starts_in_the_future_are_dropped(tmp_path: Path, clock: FakeClock):
    clock.jump(25 * 3600)
    for name in ("one", "two"):
        StartLog(tmp_path / "starts", name, lambda _: False, clock).note_start()
    clock.jump(-25 * 3600)
    third = StartLog(tmp_path / "starts", "three", lambda _: True, clock)
    third.note_start()
    assert (third.unclean_at, third.starts) == (None, (clock.now().timestamp(),))
