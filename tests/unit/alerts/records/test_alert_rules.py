from dataclasses import replace

import pytest

from api.alerts.records.alert_store import AlertStore
from api.alerts.records.rule_store import RuleStore
from api.db.database import Database
from api.domain.alerts.alert import Matcher, Silence
from api.domain.machines.gpu_event import Severity
from api.errors import AlertNotFound, Conflict
from api.util.http.pagination import PageRequest
from tests.unit.alerts.fact_builders import HOT, rule
from tests.unit.db.builders import NOW, later

BUILTIN = {"hot": replace(HOT, is_builtin=True)}


@pytest.fixture
def store(database: Database) -> RuleStore:
    return RuleStore(database)


def test_custom_rule_is_stored_beside_built_in_ones(store: RuleStore):
    mine = rule(rule_id="mine", any_of=True, labels={"team": "a"}, when=["temperature_gpu >= temperature_slowdown - 5"])
    store.add(mine, "ann", NOW)
    assert store.load(BUILTIN) == {**BUILTIN, "mine": replace(mine, updated_at=NOW, updated_by="ann")}
    assert store.count_own() == 1
    with pytest.raises(Conflict):
        store.add(mine, "ann", NOW)


def test_custom_rule_is_replaced_and_deleted(store: RuleStore):
    mine = rule(rule_id="mine")
    with pytest.raises(AlertNotFound):
        store.replace(mine, mine, "ann", NOW)
    store.add(mine, "ann", NOW)
    store.replace(replace(mine, for_seconds=5), mine, "bob", later(1))
    assert (store.load({})["mine"].for_seconds, store.load({})["mine"].updated_by) == (5, "bob")
    store.delete("mine")
    assert store.load({}) == {}
    with pytest.raises(AlertNotFound):
        store.delete("mine")


def test_only_the_differences_of_a_built_in_rule_are_stored(store: RuleStore):
    store.change_builtin("hot", {"enabled": False}, "ann", NOW)
    store.change_builtin("hot", {"severity": Severity.CRITICAL}, "ann", NOW)
    later_version = {"hot": replace(BUILTIN["hot"], for_seconds=7)}
    found = store.load(later_version)["hot"]
    assert (found.enabled, found.severity, found.for_seconds, found.is_builtin) == (False, Severity.CRITICAL, 7, True)
    assert store.load({}) == {}
    store.delete("hot")
    assert store.load(BUILTIN) == BUILTIN


def test_every_change_increases_the_version(store: RuleStore, database: Database):
    alerts, silence = AlertStore(database), Silence("s1", (Matcher("a", "b"),), NOW, later(60), "ann", "why", NOW)
    versions = [alerts.version()]
    for change in (
        lambda: store.add(rule(rule_id="mine"), "ann", NOW),
        lambda: store.change_builtin("hot", {"enabled": False}, "ann", NOW),
        lambda: store.delete("mine"),
        lambda: store.add_silence(silence),
        lambda: store.end_silence("s1", NOW),
    ):
        change()
        versions.append(alerts.version())
    assert versions == sorted(set(versions))


def test_silences_end_by_time_or_by_request(store: RuleStore):
    first = Silence("s1", (Matcher("rule", "hot*", is_glob=True),), NOW, later(60), "ann", "why", NOW)
    second = Silence("s2", (Matcher("a", "b"),), later(5), later(600), "ann", "why", NOW)
    store.add_silence(first)
    store.add_silence(second)
    assert store.active_silences(NOW) == [first, second]
    assert store.active_silences(later(60)) == [second]
    assert store.end_silence("s2", later(10)).ends_at == later(10)
    assert store.end_silence("s2", later(20)).ends_at == later(10)
    (active,) = store.silence_page(later(30), False, None, PageRequest(10)).rows
    assert active.silence_id == "s1"
    page = store.silence_page(later(30), True, None, PageRequest(1))
    assert (page.rows[0].silence_id, page.pagination.total) == ("s2", 2)
    following = store.silence_page(later(30), True, None, PageRequest(9, cursor=page.pagination.next_cursor))
    assert following.rows[0].silence_id == "s1"
    with pytest.raises(AlertNotFound):
        store.end_silence("s9", NOW)
