from collections import Counter

import pytest

from api.access.authority import Authority
from api.access.key_ring import KeyRing
from api.domain.access import LOCAL, Permission, Role
from api.domain.sight import WHOLE, Sight
from api.errors import Forbidden, NotYours, TaskNotFound, Unauthenticated
from api.web.operations import Belonging, Operation, OperationTable
from tests.unit.access.credentials import Credentials, principal

READ = Operation("GET", "/t/<task_id>", Permission.TRAINING_READ, belonging=Belonging.TASK)
CHANGE = Operation("POST", "/t/<task_id>", Permission.TRAINING_WRITE, belonging=Belonging.TASK)
LIST = Operation("GET", "/t", Permission.TRAINING_READ)
WHO = Operation("GET", "/who", None)

ANN, ADMIN = principal("ann"), principal("root", Role.ADMIN)


class Owners:
    """Whom tasks belong to; counts who asks."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.tasks: dict[str, str | None] = {"anns": "ann", "bobs": "bob", "nobodys": None}

    def find(self, task_id: str) -> str | None:
        self.asked[task_id] += 1
        if task_id not in self.tasks:
            raise TaskNotFound
        return self.tasks[task_id]


@pytest.fixture
def owners() -> Owners:
    return Owners()


def authority(ring: KeyRing, owners: Owners, *, needs_keys: bool = True, hides_others: bool = False) -> Authority:
    return Authority(
        ring,
        dict.fromkeys(Belonging, owners.find),
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


def test_without_keys_everybody_may_do_everything(ring: KeyRing, owners: Owners):
    assert authority(ring, owners, needs_keys=False).identify("wrong", None) is LOCAL


def test_who_shows_nothing_is_not_known(team: Authority):
    assert team.identify(None, None) is None


def test_a_key_goes_before_a_cookie(team: Authority, credentials: Credentials):
    _, shown = credentials.key("bob")
    cookie = credentials.session()
    team.ring.refresh()
    found = team.identify(shown, cookie)
    assert found is not None
    assert found.user_id == "bob"
    with pytest.raises(Unauthenticated):
        team.identify("wrong", cookie)


def test_what_is_in_no_table_is_for_nobody(team: Authority):
    assert team.find("DELETE", "/t") is None
    with pytest.raises(Forbidden, match="DELETE /t"):
        team.require(ADMIN, None, "DELETE /t")


def test_a_missing_permission_is_named(team: Authority):
    with pytest.raises(Forbidden) as refused:
        team.require(principal(role=Role.VIEWER), CHANGE, CHANGE.name)
    assert refused.value.data == {"missing_permission": "training:write"}
    assert "training:write" in refused.value.detail


def test_who_has_the_permission_passes(team: Authority):
    assert team.require(ANN, CHANGE, CHANGE.name) is CHANGE
    assert team.require(principal(permissions=()), WHO, WHO.name) is WHO


def test_in_a_team_all_may_look_and_only_owners_may_change(team: Authority):
    assert not team.concerns_owner(ANN, READ)
    assert team.concerns_owner(ANN, CHANGE)
    assert not team.concerns_owner(ADMIN, CHANGE)
    assert not team.concerns_owner(ANN, LIST)
    team.require_own(ANN, CHANGE, "anns")
    for other in ("bobs", "nobodys"):
        with pytest.raises(NotYours):
            team.require_own(ANN, CHANGE, other)


def test_where_others_are_hidden_theirs_do_not_exist(hiding: Authority):
    assert hiding.concerns_owner(ANN, READ)
    assert not hiding.concerns_owner(ADMIN, READ)
    messages = set()
    for other in ("bobs", "nobodys"):
        with pytest.raises(TaskNotFound) as refused:
            hiding.require_own(ANN, READ, other)
        messages.add(refused.value.detail.replace(other, "?"))
    assert messages == {'No task has the id "?".'}


def test_an_administrator_of_one_kind_only_changes_no_more_than_they_see(hiding: Authority, team: Authority):
    sees = principal(permissions={Permission.TRAINING_READ, Permission.TASKS_READ_ANY})
    assert hiding.sees_all(sees)
    assert hiding.concerns_owner(sees, CHANGE)
    changes = principal(permissions={Permission.TRAINING_WRITE, Permission.TASKS_WRITE_ANY})
    assert hiding.concerns_owner(changes, CHANGE)
    with pytest.raises(TaskNotFound):
        hiding.require_own(changes, CHANGE, "bobs")
    assert not team.concerns_owner(changes, CHANGE)


def test_the_owner_of_a_task_is_asked_for_once_and_that_of_a_registration_each_time(team: Authority, owners: Owners):
    for _ in range(3):
        team.owner_of(Belonging.TASK, "anns")
        team.owner_of(Belonging.REGISTRATION, "bobs")
    assert owners.asked == {"anns": 1, "bobs": 3}


def test_a_task_that_was_not_there_is_asked_for_again(team: Authority, owners: Owners):
    with pytest.raises(TaskNotFound):
        team.owner_of(Belonging.TASK, "new")
    owners.tasks["new"] = "ann"
    assert team.owner_of(Belonging.TASK, "new") == "ann"


def test_an_owner_sees_what_their_best_key_sees(team: Authority, hiding: Authority, credentials: Credentials):
    ann = Sight("ann", sees_all=False)
    assert [team.sight_of_owner(owner) for owner in ("ann", None)] == [WHOLE, WHOLE]
    assert [hiding.sight_of_owner(owner) for owner in ("ann", None)] == [ann, Sight(None, sees_all=False)]
    credentials.key("ann")
    hiding.ring.refresh()
    assert hiding.sight_of_owner("ann") == ann
    key, _ = credentials.key("ann", Role.ADMIN)
    hiding.ring.refresh()
    assert hiding.sight_of_owner("ann") == WHOLE
    credentials.store.revoke(key.key_id, "root", credentials.clock.now())
    hiding.ring.refresh()
    assert hiding.sight_of_owner("ann") == ann
    credentials.session(seconds=60, role=Role.ADMIN)
    hiding.ring.refresh()
    assert hiding.sight_of_owner("ann") == WHOLE
    credentials.clock.advance(61)
    assert hiding.sight_of_owner("ann") == ann


def test_keys_are_looked_at_before_their_owner_is_judged(credentials: Credentials, owners: Owners):
    credentials.key("ann", Role.ADMIN)
    fresh = KeyRing(credentials.store, credentials.clock)
    assert authority(fresh, owners, hides_others=True).sight_of_owner("ann") == WHOLE
