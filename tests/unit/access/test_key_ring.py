from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from api.access.key_ring import TRUST_SECONDS, USE_SECONDS, KeyRing
from api.access.store import CredentialStore, KnownCredentials
from api.domain.access import LOCAL, ROLE_PERMISSIONS, Credential, Permission, Quota, Role
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
from api.util.key_format import hash_of, new_token
from tests.unit.access.credentials import Credentials


class Away:
    """A database that does not answer while `is_away`."""

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


def test_a_key_shows_whose_it_is_and_what_it_permits(ring: KeyRing, credentials: Credentials):
    key, shown = credentials.key("bob", Role.VIEWER)
    ring.refresh()
    found = ring.find_key(shown)
    assert (found.user_id, found.role, found.key_id) == ("bob", Role.VIEWER, key.key_id)
    assert found.permissions == ROLE_PERMISSIONS[Role.VIEWER]
    assert found.credential is Credential.KEY


def test_a_cookie_is_no_key_and_a_key_no_cookie_whatever_was_asked_before(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key()
    cookie = credentials.session()
    ring.refresh()
    ring.find_key(shown)
    ring.find_session(cookie)
    with pytest.raises(WrongKey):
        ring.find_key(cookie)
    with pytest.raises(SessionEnded):
        ring.find_session(shown)


def test_a_list_of_words_permits_what_they_name_and_nothing_else(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key(role=None, permissions=("logs:read", "of:tomorrow"))
    ring.refresh()
    assert ring.find_key(shown).permissions == {Permission.LOGS_READ}


@pytest.mark.parametrize("key", ["", "x", "dp_abcdefghijkl_" + "a" * 43, "é\x00\ud7ff", "a" * 60_000])
def test_an_unknown_key_is_nobody(ring: KeyRing, key: str):
    with pytest.raises(Unauthenticated):
        ring.find_key(key)


def test_nobody_comes_in_before_the_keys_were_looked_at(store: CredentialStore, clock: FakeClock):
    with pytest.raises(KeysUnknown):
        KeyRing(store, clock).find_key("any")


def test_a_revoked_key_says_so_after_the_next_look(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    key, shown = credentials.key()
    ring.refresh()
    ring.find_key(shown)
    store.revoke(key.key_id, "bob", credentials.clock.now())
    ring.refresh()
    with pytest.raises(KeyRevoked):
        ring.find_key(shown)


def test_a_key_expires_by_the_clock_without_any_look(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    _, shown = credentials.key(seconds=30)
    ring.refresh()
    ring.find_key(shown)
    clock.advance(30)
    with pytest.raises(KeyExpired):
        ring.find_key(shown)
    ring.refresh()
    with pytest.raises(KeyExpired):
        ring.find_key(shown)


def test_a_principal_of_an_older_version_never_comes_into_a_newer_one(
    ring: KeyRing, credentials: Credentials, store: CredentialStore, monkeypatch: pytest.MonkeyPatch
):
    """The look in another thread ends between the reading of the key and the keeping of its principal."""
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


def test_a_session_has_what_it_was_given(ring: KeyRing, credentials: Credentials):
    cookie = credentials.session(role=Role.VIEWER)
    ring.refresh()
    found = ring.find_session(cookie)
    assert (found.user_id, found.role, found.credential) == ("ann", Role.VIEWER, Credential.SESSION)


def test_a_session_ends_with_its_key(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    key, _ = credentials.key()
    cookie = credentials.session(key)
    ring.refresh()
    ring.find_session(cookie)
    store.revoke(key.key_id, "bob", credentials.clock.now())
    ring.refresh()
    with pytest.raises(Unauthenticated):
        ring.find_session(cookie)


def test_a_session_that_began_after_its_key_was_revoked_is_none(
    ring: KeyRing, credentials: Credentials, store: CredentialStore
):
    key, _ = credentials.key()
    store.revoke(key.key_id, "bob", credentials.clock.now())
    cookie = credentials.session(key)
    ring.refresh()
    with pytest.raises(KeyRevoked):
        ring.find_session(cookie)


def test_a_session_ends_when_its_key_expires_whatever_else_changes(
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


def test_a_session_that_was_ended_is_nobody(ring: KeyRing, credentials: Credentials, store: CredentialStore):
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


def test_key_that_expired_while_the_clock_was_ahead_holds_when_it_is_right_again(
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


def test_ticket_from_while_the_clock_was_ahead_opens_nothing(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    key, _ = credentials.key()
    clock.jump(366 * 86_400)
    made = ticket(credentials, key.key_id)
    clock.jump(-366 * 86_400)
    with pytest.raises(WrongTicket):
        ring.use_ticket(made)


def test_a_ticket_is_as_good_as_its_key_once(ring: KeyRing, credentials: Credentials):
    key, shown = credentials.key("bob", Role.VIEWER)
    ring.refresh()
    made = ticket(credentials, key.key_id)
    assert ring.use_ticket(made) == replace(ring.find_key(shown), credential=Credential.TICKET)
    with pytest.raises(WrongTicket):
        ring.use_ticket(made)


def test_a_ticket_of_a_sign_in_ends_with_it(ring: KeyRing, credentials: Credentials):
    cookie = credentials.session()
    ring.refresh()
    session = str(ring.find_session(cookie).session)
    principal = ring.use_ticket(ticket(credentials, session=session))
    assert ring.why_ended(principal) is None
    credentials.store.end_session(session)
    ring.refresh()
    assert isinstance(ring.why_ended(principal), SessionEnded)


def test_a_ticket_of_a_key_that_another_server_has_just_made_is_good(ring: KeyRing, credentials: Credentials):
    key, _ = credentials.key("bob")
    assert ring.use_ticket(ticket(credentials, key.key_id)).user_id == "bob"


def test_a_ticket_of_a_key_that_has_expired_meanwhile_is_not(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    key, _ = credentials.key(seconds=10)
    ring.refresh()
    made = ticket(credentials, key.key_id)
    clock.advance(11)
    with pytest.raises(KeyExpired):
        ring.use_ticket(made)


@pytest.mark.parametrize("shown", ["", "x", "é" * 5000])
def test_what_is_no_ticket_opens_nothing(ring: KeyRing, shown: str):
    with pytest.raises(WrongTicket):
        ring.use_ticket(shown)


def test_a_ticket_of_nobody_is_of_no_key(ring: KeyRing, credentials: Credentials):
    """One that was made while no keys were asked for."""
    with pytest.raises(Unauthenticated):
        ring.use_ticket(ticket(credentials))


# -- what has ended ----------------------------------------------------------------------------------------------------


def test_who_was_let_in_stays_so_while_the_key_holds(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key()
    ring.refresh()
    assert ring.why_ended(ring.find_key(shown)) is None


def test_a_service_without_keys_ends_nobody(ring: KeyRing):
    assert ring.why_ended(LOCAL) is None


def test_who_was_let_in_ends_with_the_key(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    key, shown = credentials.key()
    ring.refresh()
    found = ring.find_key(shown)
    store.revoke(key.key_id, "bob", credentials.clock.now())
    ring.refresh()
    assert isinstance(ring.why_ended(found), KeyRevoked)


def test_who_was_let_in_ends_by_the_clock(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    _, shown = credentials.key(seconds=30)
    ring.refresh()
    found = ring.find_key(shown)
    clock.advance(31)
    assert isinstance(ring.why_ended(found), KeyExpired)


def test_who_was_permitted_more_ends(ring: KeyRing, credentials: Credentials):
    _, shown = credentials.key(role=Role.VIEWER)
    ring.refresh()
    before = replace(ring.find_key(shown), permissions=ROLE_PERMISSIONS[Role.ADMIN])
    assert isinstance(ring.why_ended(before), Forbidden)


# -- listeners ---------------------------------------------------------------------------------------------------------


def test_listeners_hear_of_changes_and_of_nothing_else(ring: KeyRing, credentials: Credentials):
    heard: list[int] = []
    ring.subscribe(lambda: heard.append(1))
    ring.run_once()
    assert heard == []
    credentials.key()
    ring.run_once()
    assert heard == [1]


def test_listeners_hear_when_a_key_expires(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    heard: list[int] = []
    credentials.key(seconds=30)
    ring.refresh()
    ring.subscribe(lambda: heard.append(1))
    clock.advance(31)
    ring.run_once()
    ring.run_once()
    assert heard == [1]


def test_listeners_look_again_while_the_database_is_away(
    ring: KeyRing, store: CredentialStore, monkeypatch: pytest.MonkeyPatch
):
    heard: list[int] = []
    ring.subscribe(lambda: heard.append(1))
    Away(monkeypatch, store)
    ring.run_once()
    assert heard == [1]


# -- a database that is away -------------------------------------------------------------------------------------------


def test_keys_hold_for_a_minute_without_the_database_and_again_with_it(
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


def test_the_use_of_keys_is_noted_once_a_minute(ring: KeyRing, credentials: Credentials, clock: FakeClock):
    key, shown = credentials.key()
    ring.refresh()
    ring.find_key(shown)
    ring.run_once()
    assert credentials.store.get(key.key_id).last_used_at is None
    clock.advance(USE_SECONDS)
    ring.run_once()
    assert credentials.store.get(key.key_id).last_used_at == clock.now()


def test_a_use_that_could_not_be_noted_is_noted_later(
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


def test_quotas_are_those_of_the_user(ring: KeyRing, credentials: Credentials, store: CredentialStore):
    credentials.key("ann")
    store.note_user("ann", credentials.clock.now(), {"gpus": 2})
    ring.refresh()
    assert ring.quota_of("ann") == Quota(gpus=2)
    assert ring.quota_of("nobody") == Quota()


def test_a_mirror_without_expiries_never_looks_for_one(store: CredentialStore, clock: FakeClock):
    known: KnownCredentials = store.load(clock.now() + timedelta(days=1))
    assert known.next_end is None


def test_bounds_that_a_quota_does_not_set_are_those_for_everybody(store: CredentialStore, clock: FakeClock):
    ring = KeyRing(store, clock, defaults=Quota(gpus=4, queued_tasks=9))
    store.note_user("ann", clock.now(), {"gpus": 0})
    ring.refresh()
    assert ring.quota_of("ann") == Quota(gpus=0, queued_tasks=9)
    assert ring.quota_of("bob") == Quota(gpus=4, queued_tasks=9)
