from dataclasses import replace
from datetime import time

import pytest

from api.alerts.records.channel_store import ChannelStore, note_failure, note_success
from api.db.database import Database
from api.domain.alerts.alert import Matcher
from api.domain.alerts.channel import QuietHours
from api.domain.machines.gpu_event import Severity
from api.errors import AlertNotFound, Conflict
from api.util.http.pagination import PageRequest
from tests.unit.alerts.fact_builders import channel
from tests.unit.db.builders import NOW, later

MADE = channel(
    min_severity=Severity.INFO,
    matchers=(Matcher("a", "b"),),
    quiet_hours=QuietHours("Europe/Berlin", time(22), time(7, 30)),
    repeat_warning_seconds=None,
)


@pytest.fixture
def store(database: Database) -> ChannelStore:
    made = ChannelStore(database)
    made.add(MADE, b"sealed")
    return made


def test_channel_is_stored_as_it_was_created(store: ChannelStore):
    assert store.get("c1") == MADE
    assert store.with_secrets() == [(MADE, b"sealed")]
    assert store.names() == ["name-c1"]
    with pytest.raises(Conflict):
        store.add(replace(MADE, channel_id="c2"), b"x")
    with pytest.raises(AlertNotFound):
        store.get("c9")


def test_address_stays_unless_another_is_given(store: ChannelStore):
    store.replace(replace(MADE, enabled=False), MADE, None)
    assert store.with_secrets()[0][1] == b"sealed"
    assert store.names() == []
    store.replace(MADE, MADE, b"other")
    assert store.with_secrets()[0][1] == b"other"
    with pytest.raises(AlertNotFound):
        store.replace(replace(MADE, channel_id="c9"), MADE, None)
    store.add(channel("c2"), b"x")
    with pytest.raises(Conflict):
        store.replace(replace(channel("c2"), name="name-c1"), MADE, None)


def test_channels_are_listed_in_pages_and_deleted(store: ChannelStore):
    store.add(channel("c2"), b"x")
    page = store.page(PageRequest(1))
    assert ([each.channel_id for each in page.rows], page.pagination.total) == (["c2"], 2)
    assert store.page(PageRequest(5, cursor=page.pagination.next_cursor)).rows[0] == MADE
    store.delete("c1")
    assert [each.channel_id for each in store.every()] == ["c2"]
    with pytest.raises(AlertNotFound):
        store.delete("c1")


def test_consecutive_refusals_disable_a_channel_and_a_success_resets_them(store: ChannelStore, database: Database):
    def fail(is_refusal: bool) -> None:
        with database.write() as connection:
            note_failure(connection, "c1", "HTTP 404", is_refusal, 3)

    fail(True)
    fail(True)
    fail(False)
    fail(True)
    assert (store.get("c1").failures, store.get("c1").refusals, store.get("c1").enabled) == (4, 1, True)
    with database.write() as connection:
        note_success(connection, "c1", later(5))
    found = store.get("c1")
    assert (found.failures, found.last_error, found.last_success_at) == (0, None, later(5))
    for _ in range(3):
        fail(True)
    found = store.get("c1")
    assert (found.enabled, found.disabled_reason) == (
        False,
        "disabled, because its receiver refuses messages: HTTP 404",
    )
    assert found.created_at == NOW
