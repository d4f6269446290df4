from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from api.access.key_ring import TRUST_SECONDS, USE_SECONDS, KeyRing
from api.access.store import CredentialStore, KnownCredentials
from api.domain.access.principal import LOCAL, ROLE_PERMISSIONS, Credential, Permission, Quota, Role
from api.errors import (
    DatabaseUnavailable,
    Forbidden,
    KeyExpired,
    KeyRevoked,
    KeysUnknown,
    SessionEnded,
    Unauthenticated,
    WrongKey,
    WrongTicket,
)
from api.util.clock import FakeClock
from api.util.text.key_format import hash_of, new_token
from tests.unit.access.credentials import Credentials


class Away:
    """A database that is unavailable while `is_away`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: CredentialStore) -> None:
        self.is_away = True
        for name in ("version", "load", "note_used"):
            monkeypatch.setattr(store, name, self._failing(getattr(store, name)))

    def _failing(self, call: Callable[..., object]) -> Callable[..., object]:
        def ask(*args: object) -> object:
            if self.is_away:
                raise DatabaseUnavailable
            return call(*args)

        return ask


def test_key_identifies_its_user_and_permissions(ring: KeyRing, credentials: Credentials):
    key, shown = credentials.key("bob", Role.VIEWER)
    ring.refresh()
    found = ring.find_key(shown)
    assert (found.user_id, found.role, found.key_id) == ("bob", Role.VIEWER, key.key_id)
    assert found.permissions == ROLE_PERMISSIONS[Role.VIEWER]
    assert found.credential is Credential.KEY


def test_cookie_is_never_accepted_as_a_key_or_a_key_as_a_cookie(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key()
    cookie = credentials.session()
    ring.refresh()
    ring.find_key(shown)
    ring.find_session(cookie)
    with pytest.raises(WrongKey):
        ring.find_key(cookie)
    with pytest.raises(SessionEnded):
        ring.find_session(shown)


def test_permission_list_grants_exactly_its_permissions(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key(role=None, permissions=("logs:read", "of:tomorrow"))
    ring.refresh()
    assert ring.find_key(shown).permissions == {Permission.LOGS_READ}


@pytest.mark.parametrize("key", ["", "x", "dp_abcdefghijkl_" + "a" * 43, "é\x00\ud7ff", "a" * 60_000])
def test_unknown_key_is_rejected(ring: KeyRing, key: str):
    with pytest.raises(Unauthenticated):
        ring.find_key(key)


def test_no_key_is_accepted_before_the_first_load(store: CredentialStore, clock: FakeClock):
    with pytest.raises(KeysUnknown):
        KeyRing(store, clock).find_key("any")


def test_revoked_key_is_reported_after_the_next_check(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    key, shown = credentials.key()
    ring.refresh()
    ring.find_key(shown)
    store.revoke(key.key_id, "bob", credentials.clock.now())
    ring.refresh()
    with pytest.raises(KeyRevoked):
        ring.find_key(shown)


def test_key_expires_by_the_clock_without_a_check(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    _, shown = credentials.key(seconds=30)
    ring.refresh()
    ring.find_key(shown)
    clock.advance(30)
    with pytest.raises(KeyExpired):
        ring.find_key(shown)
    ring.refresh()
    with pytest.raises(KeyExpired):
        ring.find_key(shown)


def test_principal_of_an_older_version_never_enters_a_newer_one(
    ring: KeyRing, credentials: Credentials, store: CredentialStore, monkeypatch: pytest.MonkeyPatch
):
    """A reload in another thread ends between reading the key and caching its principal."""
    key, shown = credentials.key()
    ring.refresh()
    granted = type(key).granted.fget
    assert granted is not None

    def revoked_meanwhile(self: object) -> object:
        monkeypatch.setattr(type(key), "granted", property(granted))
        store.revoke(key.key_id, "bob", credentials.clock.now())
        ring.refresh()
        return granted(self)

    monkeypatch.setattr(type(key), "granted", property(revoked_meanwhile))
    ring.find_key(shown)
    with pytest.raises(KeyRevoked):
        ring.find_key(shown)


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_session_has_its_own_role(ring: KeyRing, credentials: Credentials):
    cookie = credentials.session(role=Role.VIEWER)
    ring.refresh()
    found = ring.find_session(cookie)
    assert (found.user_id, found.role, found.credential) == ("ann", Role.VIEWER, Credential.SESSION)


def test_session_ends_with_its_key(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    key, _ = credentials.key()
    cookie = credentials.session(key)
    ring.refresh()
    ring.find_session(cookie)
    store.revoke(key.key_id, "bob", credentials.clock.now())
    ring.refresh()
    with pytest.raises(Unauthenticated):
        ring.find_session(cookie)


def test_session_started_after_its_key_was_revoked_is_invalid(
    ring: KeyRing, credentials: Credentials, store: CredentialStore
):
    key, _ = credentials.key()
    store.revoke(key.key_id, "bob", credentials.clock.now())
    cookie = credentials.session(key)
    ring.refresh()
    with pytest.raises(KeyRevoked):
        ring.find_session(cookie)


def test_session_ends_when_its_key_expires_regardless_of_other_changes(
    ring: KeyRing, credentials: Credentials, clock: FakeClock
):
    key, _ = credentials.key(seconds=30)
    cookie = credentials.session(key, seconds=3600)
    ring.refresh()
    assert ring.find_session(cookie).expires_at == key.expires_at
    clock.advance(31)
    credentials.key("bob")
    ring.refresh()
    with pytest.raises(KeyExpired):
        ring.find_session(cookie)


def test_ended_session_is_rejected(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    cookie = credentials.session()
    ring.refresh()
    store.end_session(str(ring.find_session(cookie).session))
    ring.refresh()
    with pytest.raises(Unauthenticated):
        ring.find_session(cookie)


# -- tickets -----------------------------------------------------------------------------------------------------------


def ticket(credentials: Credentials, key_id: str | None = None, session: str | None = None) -> str:
    made, now = new_token(), credentials.clock.now()
    credentials.store.add_ticket(hash_of(made), key_id, session, now, now + timedelta(seconds=30))
    return made


def test_key_that_expired_while_the_clock_was_ahead_is_valid_after_its_correction(
    ring: KeyRing, credentials: Credentials, clock: FakeClock
):
    _, shown = credentials.key(seconds=3600)
    ring.refresh()
    clock.jump(25 * 3600)
    ring.refresh()
    with pytest.raises(KeyExpired):
        ring.find_key(shown)
    clock.jump(-25 * 3600)
    ring.refresh()
    assert ring.find_key(shown).user_id == "ann"
    clock.advance(3600)
    ring.refresh()
    with pytest.raises(KeyExpired):
        ring.find_key(shown)


def test_ticket_from_a_clock_ahead_is_rejected(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    key, _ = credentials.key()
    clock.jump(366 * 86_400)
    made = ticket(credentials, key.key_id)
    clock.jump(-366 * 86_400)
    with pytest.raises(WrongTicket):
        ring.use_ticket(made)


def test_ticket_authenticates_as_its_key_once(ring: KeyRing, credentials: Credentials):
    key, shown = credentials.key("bob", Role.VIEWER)
    ring.refresh()
    made = ticket(credentials, key.key_id)
    assert ring.use_ticket(made) == replace(ring.find_key(shown), credential=Credential.TICKET)
    with pytest.raises(WrongTicket):
        ring.use_ticket(made)


def test_ticket_of_a_session_ends_with_it(ring: KeyRing, credentials: Credentials):
    cookie = credentials.session()
    ring.refresh()
    session = str(ring.find_session(cookie).session)
    principal = ring.use_ticket(ticket(credentials, session=session))
    assert ring.why_ended(principal) is None
    credentials.store.end_session(session)
    ring.refresh()
    assert isinstance(ring.why_ended(principal), SessionEnded)


def test_ticket_of_a_key_just_created_on_another_server_is_valid(ring: KeyRing, credentials: Credentials):
    key, _ = credentials.key("bob")
    assert ring.use_ticket(ticket(credentials, key.key_id)).user_id == "bob"


def test_ticket_of_an_expired_key_is_invalid(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    key, _ = credentials.key(seconds=10)
    ring.refresh()
    made = ticket(credentials, key.key_id)
    clock.advance(11)
    with pytest.raises(KeyExpired):
        ring.use_ticket(made)


@pytest.mark.parametrize("shown", ["", "x", "é" * 5000])
def test_malformed_ticket_is_rejected(ring: KeyRing, shown: str):
    with pytest.raises(WrongTicket):
        ring.use_ticket(shown)


def test_ticket_without_a_key_is_rejected(ring: KeyRing, credentials: Credentials):
    """A ticket from a time when no keys were required."""
    with pytest.raises(Unauthenticated):
        ring.use_ticket(ticket(credentials))


# -- ended credentials -------------------------------------------------------------------------------------------------


def test_principal_stays_accepted_while_the_key_is_valid(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key()
    ring.refresh()
    assert ring.why_ended(ring.find_key(shown)) is None


def test_service_without_keys_ends_no_principal(ring: KeyRing):
    assert ring.why_ended(LOCAL) is None


def test_principal_ends_with_the_key(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    key, shown = credentials.key()
    ring.refresh()
    found = ring.find_key(shown)
    store.revoke(key.key_id, "bob", credentials.clock.now())
    ring.refresh()
    assert isinstance(ring.why_ended(found), KeyRevoked)


def test_principal_ends_when_the_key_expires(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    _, shown = credentials.key(seconds=30)
    ring.refresh()
    found = ring.find_key(shown)
    clock.advance(31)
    assert isinstance(ring.why_ended(found), KeyExpired)


def test_principal_with_more_permissions_than_now_ends(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key(role=Role.VIEWER)
    ring.refresh()
    before = replace(ring.find_key(shown), permissions=ROLE_PERMISSIONS[Role.ADMIN])
    assert isinstance(ring.why_ended(before), Forbidden)


# -- listeners ---------------------------------------------------------------------------------------------------------


def test_listeners_are_notified_of_changes_only(ring: KeyRing, credentials: Credentials):
    received: list[int] = []
    ring.subscribe(lambda: received.append(1))
    ring.run_once()
    assert received == []
    credentials.key()
    ring.run_once()
    assert received == [1]


def test_listeners_are_notified_when_a_key_expires(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    received: list[int] = []
    credentials.key(seconds=30)
    ring.refresh()
    ring.subscribe(lambda: received.append(1))
    clock.advance(31)
    ring.run_once()
    ring.run_once()
    assert received == [1]


def test_listeners_are_notified_while_the_database_is_unavailable(
    ring: KeyRing, store: CredentialStore, monkeypatch: pytest.MonkeyPatch
):
    received: list[int] = []
    ring.subscribe(lambda: received.append(1))
    Away(monkeypatch, store)
    ring.run_once()
    assert received == [1]


# -- an unavailable database -------------------------------------------------------------------------------------------


def test_keys_are_valid_for_a_minute_without_the_database_and_again_with_it(
    ring: KeyRing, credentials: Credentials, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    _, shown = credentials.key()
    ring.refresh()
    away = Away(monkeypatch, credentials.store)
    clock.advance(60)
    ring.run_once()
    assert ring.find_key(shown).user_id == "ann"
    clock.advance(TRUST_SECONDS - 60 + 1)
    with pytest.raises(KeysUnknown) as refused:
        ring.find_key(shown)
    assert refused.value.headers == {"Retry-After": "2"}
    away.is_away = False
    ring.run_once()
    assert ring.find_key(shown).user_id == "ann"


def test_use_of_keys_is_stored_once_a_minute(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    key, shown = credentials.key()
    ring.refresh()
    ring.find_key(shown)
    ring.run_once()
    assert credentials.store.get(key.key_id).last_used_at is None
    clock.advance(USE_SECONDS)
    ring.run_once()
    assert credentials.store.get(key.key_id).last_used_at == clock.now()


def test_use_that_could_not_be_stored_is_stored_later(
    ring: KeyRing, credentials: Credentials, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    key, shown = credentials.key()
    ring.refresh()
    ring.find_key(shown)
    away = Away(monkeypatch, credentials.store)
    clock.advance(USE_SECONDS)
    ring.run_once()
    away.is_away = False
    ring.stop()
    assert credentials.store.get(key.key_id).last_used_at == clock.now()


def test_quota_is_that_of_the_user(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    credentials.key("ann")
    store.note_user("ann", credentials.clock.now(), {"gpus": 2})
    ring.refresh()
    assert ring.quota_of("ann") == Quota(gpus=2)
    assert ring.quota_of("nobody") == Quota()


def test_keys_without_expiry_cause_no_reload(store: CredentialStore, clock: FakeClock):
    known: KnownCredentials = store.load(clock.now() + timedelta(days=1))
    assert known.next_end is None


def test_unset_bounds_of_a_quota_have_the_default(store: CredentialStore, clock: FakeClock):
    ring = KeyRing(store, clock, defaults=Quota(gpus=4, queued_tasks=9))
    store.note_user("ann", clock.now(), {"gpus": 0})
    ring.refresh()
    assert ring.quota_of("ann") == Quota(gpus=0, queued_tasks=9)
    assert ring.quota_of("bob") == Quota(gpus=4, queued_tasks=9)
