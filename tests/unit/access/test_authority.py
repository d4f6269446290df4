from collections import Counter

import pytest

from api.access.authority import Authority, Visibility
from api.access.key_ring import KeyRing
from api.domain.access.principal import ANONYMOUS, LOCAL, ROLE_PERMISSIONS, Credential, Permission, Principal, Role
from api.domain.access.read_scope import WHOLE, ReadScope
from api.errors import Forbidden, NotYours, TaskNotFound, Unauthenticated
from api.web.operations import Operation, OperationTable, ResourceKind
from tests.unit.access.credentials import Credentials, principal

READ = Operation("GET", "/t/<task_id>", Permission.TRAINING_READ, resource_kind=ResourceKind.TASK)
CHANGE = Operation("POST", "/t/<task_id>", Permission.TRAINING_WRITE, resource_kind=ResourceKind.TASK)
LIST = Operation("GET", "/t", Permission.TRAINING_READ)
WHO = Operation("GET", "/who", None)

ANN, ADMIN = principal("ann"), principal("root", Role.ADMIN)


class Owners:
    """Owners of tasks; counts the queries."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.tasks: dict[str, str | None] = {"anns": "ann", "bobs": "bob", "nobodys": None}

    def find(self, task_id: str) -> str | None:
        self.requests[task_id] += 1
        if task_id not in self.tasks:
            raise TaskNotFound
        return self.tasks[task_id]


@pytest.fixture
def owners() -> Owners:
    return Owners()


def authority(ring: KeyRing, owners: Owners, *, needs_keys: bool = True, hides_others: bool = False) -> Authority:
    return Authority(
        ring,
        dict.fromkeys(ResourceKind, owners.find),
        needs_keys=needs_keys,
        hides_others=hides_others,
        operations=OperationTable([READ, CHANGE, LIST, WHO]),
    )


@pytest.fixture
def team(ring: KeyRing, owners: Owners) -> Authority:
    return authority(ring, owners)


@pytest.fixture
def hiding(ring: KeyRing, owners: Owners) -> Authority:
    return authority(ring, owners, hides_others=True)


def test_without_keys_everyone_may_do_everything(ring: KeyRing, owners: Owners):
    assert authority(ring, owners, needs_keys=False).identify("wrong", None) is LOCAL


def test_caller_without_credentials_is_unknown(team: Authority):
    assert team.identify(None, None) is None


def test_key_takes_precedence_over_a_cookie(team: Authority, credentials: Credentials):
    _, shown = credentials.key("bob")
    cookie = credentials.session()
    team.ring.refresh()
    found = team.identify(shown, cookie)
    assert found is not None
    assert found.user_id == "bob"
    with pytest.raises(Unauthenticated):
        team.identify("wrong", cookie)


def test_operation_missing_in_the_table_is_forbidden_for_everyone(team: Authority):
    assert team.find("DELETE", "/t") is None
    with pytest.raises(Forbidden, match="DELETE /t"):
        team.require(ADMIN, None, "DELETE /t")


def test_missing_permission_is_named(team: Authority):
    with pytest.raises(Forbidden) as refused:
        team.require(principal(role=Role.VIEWER), CHANGE, CHANGE.name)
    assert refused.value.data == {"missing_permission": "training:write"}
    assert "training:write" in refused.value.detail


def test_principal_with_the_permission_passes(team: Authority):
    assert team.require(ANN, CHANGE, CHANGE.name) is CHANGE
    assert team.require(principal(permissions=()), WHO, WHO.name) is WHO


def test_in_a_team_all_may_read_and_only_owners_may_change(team: Authority):
    assert not team.depends_on_owner(ANN, READ)
    assert team.depends_on_owner(ANN, CHANGE)
    assert not team.depends_on_owner(ADMIN, CHANGE)
    assert not team.depends_on_owner(ANN, LIST)
    team.require_owner(ANN, CHANGE, "anns")
    for other in ("bobs", "nobodys"):
        with pytest.raises(NotYours):
            team.require_owner(ANN, CHANGE, other)


def test_hidden_tasks_of_others_do_not_exist(hiding: Authority):
    assert hiding.depends_on_owner(ANN, READ)
    assert not hiding.depends_on_owner(ADMIN, READ)
    messages = set()
    for other in ("bobs", "nobodys"):
        with pytest.raises(TaskNotFound) as refused:
            hiding.require_owner(ANN, READ, other)
        messages.add(refused.value.detail.replace(other, "?"))
    assert messages == {'No task has the id "?".'}


def test_write_permission_without_read_permission_is_limited_to_visible_tasks(hiding: Authority, team: Authority):
    sees = principal(permissions={Permission.TRAINING_READ, Permission.TASKS_READ_ANY})
    assert hiding.sees_all(sees)
    assert hiding.depends_on_owner(sees, CHANGE)
    changes = principal(permissions={Permission.TRAINING_WRITE, Permission.TASKS_WRITE_ANY})
    assert hiding.depends_on_owner(changes, CHANGE)
    with pytest.raises(TaskNotFound):
        hiding.require_owner(changes, CHANGE, "bobs")
    assert not team.depends_on_owner(changes, CHANGE)


def test_owner_of_a_task_is_cached_and_that_of_a_registration_is_not(team: Authority, owners: Owners):
    for _ in range(3):
        team.owner_of(ResourceKind.TASK, "anns")
        team.owner_of(ResourceKind.REGISTRATION, "bobs")
    assert owners.requests == {"anns": 1, "bobs": 3}


def test_missing_task_is_looked_up_again(team: Authority, owners: Owners):
    with pytest.raises(TaskNotFound):
        team.owner_of(ResourceKind.TASK, "new")
    owners.tasks["new"] = "ann"
    assert team.owner_of(ResourceKind.TASK, "new") == "ann"


def test_owners_scope_is_that_of_their_best_key(team: Authority, hiding: Authority, credentials: Credentials):
    ann = ReadScope("ann", sees_all=False)
    assert [team.scope_of_owner(owner) for owner in ("ann", None)] == [WHOLE, WHOLE]
    assert [hiding.scope_of_owner(owner) for owner in ("ann", None)] == [ann, ReadScope(None, sees_all=False)]
    credentials.key("ann")
    hiding.ring.refresh()
    assert hiding.scope_of_owner("ann") == ann
    key, _ = credentials.key("ann", Role.ADMIN)
    hiding.ring.refresh()
    assert hiding.scope_of_owner("ann") == WHOLE
    credentials.store.revoke(key.key_id, "root", credentials.clock.now())
    hiding.ring.refresh()
    assert hiding.scope_of_owner("ann") == ann
    credentials.session(seconds=60, role=Role.ADMIN)
    hiding.ring.refresh()
    assert hiding.scope_of_owner("ann") == WHOLE
    credentials.clock.advance(61)
    assert hiding.scope_of_owner("ann") == ann


def test_keys_are_loaded_before_an_owners_scope_is_decided(credentials: Credentials, owners: Owners):
    credentials.key("ann", Role.ADMIN)
    fresh = KeyRing(credentials.store, credentials.clock)
    assert authority(fresh, owners, hides_others=True).scope_of_owner("ann") == WHOLE


TEAM, OWN = Visibility(hides_others=False), Visibility(hides_others=True)


def someone(*permissions: Permission, role: Role | None = None) -> Principal:
    granted = frozenset(permissions) if role is None else ROLE_PERMISSIONS[role]
    return Principal("ann", role, granted, Credential.KEY, "k1")


@pytest.mark.parametrize("role", list(Role))
def test_in_a_team_every_role_sees_everything(role: Role):
    assert TEAM.scope_of(someone(role=role)) is WHOLE


def test_only_administrators_see_hidden_tasks():
    assert OWN.scope_of(someone(role=Role.ADMIN)) is WHOLE
    for role in (Role.TRAINER, Role.VIEWER):
        assert OWN.scope_of(someone(role=role)) == ReadScope("ann", sees_all=False, sees_commands=True)


def test_permission_to_read_all_tasks_needs_no_role():
    reader = someone(Permission.TASKS_READ_ANY)
    assert OWN.scope_of(reader) == ReadScope(None, sees_all=True, sees_commands=False)


def test_without_keys_everything_is_visible():
    assert OWN.scope_of(LOCAL) is WHOLE


def test_unauthenticated_caller_sees_nothing():
    scope = OWN.scope_of(ANONYMOUS)
    assert not any((scope.sees(None), scope.sees("nobody"), scope.sees_command(None)))
    assert scope.only_of == ""


def test_task_without_an_owner_is_visible_only_with_full_scope():
    assert not OWN.scope_of(someone(role=Role.TRAINER)).sees(None)
    assert WHOLE.sees(None)


def test_minimum_scope_of_a_task_is_its_owners_without_command_lines():
    assert OWN.minimum_scope_of("ann") == ReadScope("ann", sees_all=False, sees_commands=False)
    assert TEAM.minimum_scope_of("ann") == ReadScope(None, sees_all=True, sees_commands=False)
