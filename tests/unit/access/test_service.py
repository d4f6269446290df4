"""The key service: immediate effects and refusals; tests/api/auth tests it over HTTP."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from api.access.authority import Authority
from api.access.key_ring import KeyRing
from api.access.service import AccessService, KeyRequest
from api.access.store import CredentialStore
from api.access.views import KeyState
from api.db.database import Database, sqlite_url
from api.domain.access.principal import LOCAL, Credential, Permission, Principal, Quota, Role, expand_permissions
from api.errors import DatabaseUnavailable, Forbidden, Invalid, KeyRevoked, LastAdministrator, WrongKey
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest
from api.web.operations import ResourceKind


@pytest.fixture
def sqlite(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    made = Database(sqlite_url(tmp_path / "database.sqlite"))
    yield made
    made.close()


def service_on(database: Database, clock: FakeClock, hides_others: bool = False) -> AccessService:
    """The service of one server."""
    store = CredentialStore(database)
    owners = {resource_kind: lambda thing: None for resource_kind in ResourceKind}
    ring = KeyRing(store, clock)
    ring.refresh()
    return AccessService(store, Authority(ring, owners, needs_keys=True, hides_others=hides_others), clock)


@pytest.fixture
def access(sqlite: Database, clock: FakeClock) -> AccessService:
    return service_on(sqlite, clock)


def manager(*text: str) -> Principal:
    return Principal("desk", None, expand_permissions(text) | {Permission.KEYS_MANAGE}, Credential.KEY, "k")


def shown(access: AccessService, **fields: object) -> str:
    made = access.generate(KeyRequest(**{"user_id": "anna", "role": Role.TRAINER, **fields}), LOCAL)  # type: ignore[arg-type]
    assert made.api_key is not None
    return made.api_key


def test_key_created_on_another_server_signs_in_immediately(access: AccessService, sqlite: Database, clock: FakeClock):
    other = service_on(sqlite, clock)
    cookie, who = other.log_in(shown(access))
    assert (who.user_id, who.role, len(cookie)) == ("anna", Role.TRAINER, 43)


def test_key_revoked_on_another_server_does_not_sign_in(access: AccessService, sqlite: Database, clock: FakeClock):
    other, key = service_on(sqlite, clock), shown(access)
    other.log_in(key)
    access.revoke(key[3:15], LOCAL)
    with pytest.raises(KeyRevoked):
        other.log_in(key)


def test_malformed_key_is_not_looked_up(access: AccessService, sqlite: Database):
    sqlite.close()
    with pytest.raises(WrongKey, match="start with dp_"):
        access.log_in("x" * 1000)


def test_reserved_names_are_rejected(access: AccessService):
    for name in ("api", "local", "nobody"):
        with pytest.raises(Invalid):
            access.generate(KeyRequest(name, role=Role.VIEWER), LOCAL)


def test_key_for_oneself_or_a_new_user_needs_only_its_own_permissions(access: AccessService):
    for name in ("desk", "new"):
        access.generate(KeyRequest(name, permissions=("training",)), manager("training"))


def test_key_for_a_known_user_needs_the_permissions_of_their_tasks(
    access: AccessService, sqlite: Database, clock: FakeClock
):
    shown(access)
    wanted = KeyRequest("anna", permissions=("logs:read",))
    access.generate(wanted, manager("logs:read"))
    with pytest.raises(Forbidden, match=r"Missing: tasks:write_any\."):
        access.generate(KeyRequest("anna", permissions=("training",)), manager("training"))
    hiding = service_on(sqlite, clock, hides_others=True)
    with pytest.raises(Forbidden, match=r"Missing: tasks:read_any\."):
        hiding.generate(wanted, manager("logs:read"))
    hiding.generate(wanted, manager("logs:read", "tasks:read_any"))


def test_one_of_two_administrators_who_revoke_each_other_stays(access: AccessService):
    one, other = (shown(access, user_id=name, role=Role.ADMIN)[3:15] for name in ("one", "other"))
    access.revoke(one, LOCAL)
    with pytest.raises(LastAdministrator):
        access.revoke(other, LOCAL)
    assert access.revoke(other, LOCAL, force=True).state is KeyState.REVOKED


def test_expired_administrator_does_not_count(access: AccessService, clock: FakeClock):
    one = shown(access, role=Role.ADMIN)[3:15]
    shown(access, role=Role.ADMIN, expires_at=clock.now() + timedelta(seconds=5))
    clock.advance(5)
    with pytest.raises(LastAdministrator):
        access.revoke(one, LOCAL)


def test_pages_of_keys_neither_skip_nor_repeat(access: AccessService):
    made = [shown(access, name=f"{number}")[3:15] for number in range(5)]
    seen, cursor = [], None
    for _ in range(3):
        page = access.get_page(None, None, PageRequest(limit=2, cursor=cursor))
        seen += [key.key_id for key in page.rows]
        cursor = page.pagination.next_cursor
    assert sorted(seen) == sorted(made)
    assert cursor is None


def test_session_has_the_permissions_of_its_key(access: AccessService):
    _, who = access.log_in(shown(access, role=None, permissions=("training",)))
    assert who.role is None
    assert set(who.permissions) == expand_permissions(["training"])


@pytest.mark.parametrize("name", ["api", "API", "Service", "OPERATOR", "Nobody", "me", "Me"])
def test_user_names_of_the_service_are_rejected(access: AccessService, name: str):
    with pytest.raises(Invalid) as refused:
        shown(access, user_id=name)
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/user_id"]


def test_key_is_rejected_as_a_user_name(access: AccessService):
    with pytest.raises(Invalid) as refused:
        shown(access, user_id=shown(access)[:64])
    assert "looks like a key" in refused.value.mistakes[0].message


def test_whoami_works_although_usage_is_unknown(sqlite: Database, clock: FakeClock):
    def fail(_: object) -> NoReturn:
        raise DatabaseUnavailable

    store = CredentialStore(sqlite)
    ring = KeyRing(store, clock, defaults=Quota(gpus=4))
    authority = Authority(
        ring, {resource_kind: lambda thing: None for resource_kind in ResourceKind}, needs_keys=True, hides_others=False
    )
    who = AccessService(store, authority, clock, fail).who_am_i(manager())
    assert (who.user_id, who.usage, who.quota) == ("desk", None, Quota(gpus=4))
