from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from api.access.store import CredentialStore
from api.db.database import Database
from api.domain.access.principal import AccessKey, Quota, Role, Session
from api.errors import KeyEnded, KeyNotFound, LastAdministrator, UserNotFound
from tests.unit.db.builders import NOW, later


@pytest.fixture
def store(database: Database) -> CredentialStore:
    return CredentialStore(database)


def key(key_id: str = "k1", user_id: str = "ann", **changes: object) -> AccessKey:
    usual = AccessKey(key_id, user_id, "a laptop", Role.TRAINER, None, NOW, "root")
    return replace(usual, **changes)  # type: ignore[arg-type]


def session(hash_: str = "s1", key_id: str | None = "k1", created_at: datetime = NOW, seconds: float = 60) -> Session:
    return Session(hash_, "ann", None, Role.VIEWER, None, key_id, created_at, later(seconds))


def test_key_is_stored_as_it_was_created(store: CredentialStore):
    made = key(role=None, permissions=("logs:read",), expires_at=later(60))
    store.add(made, "h1")
    assert store.get("k1") == made
    assert store.load(NOW).keys == {"h1": made}


def test_unknown_key_is_not_found(store: CredentialStore):
    with pytest.raises(KeyNotFound):
        store.get("k9")
    with pytest.raises(KeyNotFound):
        store.revoke("k9", "root", NOW)
    with pytest.raises(KeyNotFound):
        store.rotate("k9", key("k2"), "h2", later(60))


def test_keys_are_listed_newest_first_and_by_user(store: CredentialStore):
    store.add(key("k1"), "h1")
    store.add(key("k2", "bob", created_at=later(1)), "h2")
    assert [each.key_id for each in store.list()] == ["k2", "k1"]
    assert [each.key_id for each in store.list("ann")] == ["k1"]
    assert store.count() == 2


def test_every_change_increases_the_version_and_reading_does_not(store: CredentialStore):
    versions = [store.version()]
    for change in (
        lambda: store.add(key("k1"), "h1"),
        lambda: store.rotate("k1", key("k2"), "h2", later(60)),
        lambda: store.revoke("k2", "root", NOW),
        lambda: store.note_user("bob", NOW, {"gpus": 1}),
        lambda: store.add_session(session(), NOW),
        lambda: store.end_session("s1"),
    ):
        change()
        versions.append(store.version())
    assert versions == sorted(set(versions))
    store.load(NOW)
    store.note_used(["k1"], NOW)
    store.add_ticket("t1", "k1", None, NOW, later(30))
    assert store.version() == versions[-1] == store.load(NOW).version


def test_expired_key_is_loaded_as_ended(store: CredentialStore):
    store.add(key("k1", expires_at=later(60)), "h1")
    store.add(key("k2"), "h2")
    store.revoke("k2", "root", later(1))
    store.add_session(session(seconds=30), NOW)
    assert store.load(NOW).next_end == later(30)
    known = store.load(later(60))
    assert (known.keys, set(known.ended), known.sessions, known.next_end) == ({}, {"h1", "h2"}, {}, None)
    assert known.ended["h2"].revoked_by == "root"


def test_revocation_ends_only_the_keys_own_sessions_and_tickets(store: CredentialStore):
    store.add(key("k1"), "h1")
    store.add(key("k2"), "h2")
    for name in ("1", "2"):
        store.add_session(session(f"s{name}", f"k{name}"), NOW)
        store.add_ticket(f"t{name}", f"k{name}", None, NOW, later(30))
    store.revoke("k1", "root", later(5))
    assert set(store.load(NOW).sessions) == {"s2"}
    assert store.use_ticket("t1", NOW) is None
    assert store.use_ticket("t2", NOW) == ("k2", None)


def test_first_revocation_stays(store: CredentialStore):
    store.add(key("k1"), "h1")
    store.revoke("k1", "root", later(1))
    again = store.revoke("k1", "eve", later(2))
    assert (again.revoked_by, again.revoked_at) == ("root", later(1))


def test_rotated_key_is_valid_until_the_overlap_ends(store: CredentialStore):
    store.add(key("k1"), "h1")
    store.rotate("k1", key("k2"), "h2", later(60))
    assert set(store.load(later(59)).keys) == {"h1", "h2"}
    assert set(store.load(later(60)).keys) == {"h2"}
    assert store.get("k1").rotated_to == "k2"


def test_overlap_extends_no_key(store: CredentialStore):
    store.add(key("k1", expires_at=later(10)), "h1")
    store.rotate("k1", key("k2"), "h2", later(60))
    assert store.get("k1").expires_at == later(10)


@pytest.mark.parametrize("how", ["revoked", "rotated"])
def test_revoked_or_replaced_key_cannot_be_replaced_again(store: CredentialStore, how: str):
    store.add(key("k1"), "h1")
    if how == "revoked":
        store.revoke("k1", "root", NOW)
    else:
        store.rotate("k1", key("k2"), "h2", later(60))
    with pytest.raises(KeyEnded):
        store.rotate("k1", key("k3"), "h3", later(60))
    assert "h3" not in store.load(NOW).keys


def test_one_of_many_servers_creates_the_first_key(store: CredentialStore):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: store.add_first(key(f"k{n}"), f"h{n}"), range(4)))
    assert made.count(True) == 1
    assert store.count() == 1


def test_user_keeps_the_quota_until_another_is_set(store: CredentialStore):
    store.add(key("k1"), "h1", {"gpus": 2, "gpu_hours_per_day": 1.5})
    store.add(key("k2"), "h2")
    assert store.load(NOW).quotas == {"ann": Quota(gpus=2, gpu_hours_per_day=1.5)}
    store.note_user("ann", NOW, {"queued_tasks": 3, "gpus": None})
    assert [user.quota for user in store.users()] == [Quota(queued_tasks=3, gpu_hours_per_day=1.5)]


def test_quota_of_an_unknown_user_cannot_be_changed(store: CredentialStore):
    with pytest.raises(UserNotFound):
        store.change_quota("ann", {"gpus": 1})
    store.add(key("k1"), "h1")
    assert store.change_quota("ann", {"gpus": 1}).quota == store.load(NOW).quotas["ann"] == Quota(gpus=1)


def test_concurrently_changed_bounds_are_all_stored(store: CredentialStore):
    store.add(key("k1"), "h1")
    bounds = ["gpus", "queued_tasks", "gpu_hours_per_day", "storage_gb"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: store.change_quota("ann", {name: 7}), bounds))
    assert store.load(NOW).quotas["ann"] == Quota(7, 7, 7, 7)


def test_many_keys_for_a_new_user_can_be_created_concurrently(store: CredentialStore):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.add(key(f"k{n}"), f"h{n}"), range(8)))
    assert (store.count(), len(store.users())) == (8, 1)


def test_one_of_two_concurrently_revoked_administrators_stays(store: CredentialStore):
    for name in ("k1", "k2"):
        store.add(key(name, role=Role.ADMIN), f"h-{name}")

    def revoke(name: str) -> bool:
        try:
            store.revoke(name, "root", NOW, keeps_administrator=True)
        except LastAdministrator:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(revoke, ["k1", "k2"])) == [False, True]
    assert len(store.load(NOW).keys) == 1


def test_given_key_is_stored_once_and_its_id_is_unique(store: CredentialStore):
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda _: store.add_given(key("k1"), "h1"), range(4))) == [False, False, False, True]
    with pytest.raises(KeyEnded, match="Another key has the id k1"):
        store.add_given(key("k1"), "h2")


def test_session_exists_until_it_is_ended_with_its_tickets(store: CredentialStore):
    store.add_session(session(), NOW)
    store.add_ticket("t1", None, "s1", NOW, later(30))
    assert store.load(NOW).sessions == {"s1": session()}
    store.end_session("s1")
    assert store.load(NOW).sessions == {}
    assert store.use_ticket("t1", NOW) is None


def test_new_session_deletes_ended_ones(store: CredentialStore):
    store.add_session(session("s1", seconds=10), NOW)
    store.add_session(session("s2", created_at=later(10)), later(10))
    assert set(store.load(NOW).sessions) == {"s2"}


def test_ticket_is_valid_once(store: CredentialStore):
    store.add_ticket("t1", "k1", None, NOW, later(30))
    with ThreadPoolExecutor(4) as pool:
        used = list(pool.map(lambda _: store.use_ticket("t1", NOW), range(4)))
    assert sorted(used, key=str) == [("k1", None), None, None, None]


def test_ticket_is_valid_for_half_a_minute(store: CredentialStore):
    store.add_ticket("t1", "k1", None, NOW, later(30))
    assert store.use_ticket("t1", later(30)) is None
    assert store.use_ticket("t1", later(29)) == ("k1", None)


def test_use_of_keys_is_stored(store: CredentialStore):
    store.add(key("k1"), "h1")
    store.note_used({"k1", "k9"}, later(5))
    assert store.get("k1").last_used_at == later(5)
