"""Decides who may do what: by the key that is shown, the table of operations, and whom things belong to."""

import functools
from collections.abc import Callable, Mapping

from api.access.key_ring import KeyRing
from api.access.visibility import Visibility
from api.domain.access import LOCAL, Permission, Principal
from api.domain.sight import WHOLE, Sight
from api.errors import Forbidden, HiddenDataset, HiddenModel, HiddenTask, NotYours, TaskIsTraining
from api.web.operations import Belonging, Operation, OperationTable

#: Owners of tasks that are remembered; a task never changes hands.
_REMEMBERED = 10_000

#: Finds the owner of a thing by its id; None: it belongs to nobody. Raises TaskNotFound.
FindOwner = Callable[[str], str | None]


class Authority:
    """The decisions. `identify` and `require` read memory only; `require_own` may look into the database."""

    def __init__(
        self,
        ring: KeyRing,
        owners: Mapping[Belonging, FindOwner],
        *,
        needs_keys: bool,
        hides_others: bool,
        operations: OperationTable | None = None,
    ) -> None:
        """`hides_others`: who may not see everybody's tasks sees their own only."""
        self.ring = ring
        self.needs_keys = needs_keys
        self.visibility = Visibility(hides_others=hides_others)
        self._operations = operations or OperationTable()
        remembered: FindOwner = functools.lru_cache(_REMEMBERED)(owners[Belonging.TASK])
        self._find_owners: dict[Belonging, FindOwner] = {**owners, Belonging.TASK: remembered}

    def identify(self, key: str | None, cookie: str | None) -> Principal | None:
        """Who has shown this key, or this cookie; None who has shown neither. Raises what `KeyRing` raises."""
        if not self.needs_keys:
            return LOCAL
        if key is not None:
            return self.ring.find_key(key)
        return None if cookie is None else self.ring.find_session(cookie)

    def find(self, method: str, pattern: str) -> Operation | None:
        """The operation of a method at an address; None for one that the table does not know."""
        return self._operations.find(method, pattern)

    def require(self, principal: Principal, operation: Operation | None, name: str) -> Operation:
        """Lets through who has the permission that the operation needs, and returns it. Raises Forbidden, for everybody
        where the table does not know the operation of this name.
        """
        if operation is None:
            raise Forbidden(f"Nobody may do this: {name} is in no table of permissions.")
        needed = operation.permission
        if needed is not None and needed not in principal.permissions:
            raise Forbidden(f"The key lacks the permission {needed}.", data={"missing_permission": needed})
        return operation

    def sees_all(self, principal: Principal) -> bool:
        """Whether this principal may see everybody's tasks."""
        return self.visibility.sees_all(principal)

    def sight_of_owner(self, owner: str | None) -> Sight:
        """How far the user whom a task belongs to sees at present, by whichever of their keys."""
        if not self.visibility.hides_others or (owner is not None and self.ring.may(owner, Permission.TASKS_READ_ANY)):
            return WHOLE
        return Sight(owner, sees_all=False)

    def concerns_owner(self, principal: Principal, operation: Operation) -> bool:
        """Whether it depends on whom the thing belongs to that this operation is about."""
        if operation.belonging is None:
            return False
        # Whoever changes a task is shown it: nobody changes what is hidden from them.
        may_change = not operation.changes or principal.may(Permission.TASKS_WRITE_ANY)
        return not (may_change and self.sees_all(principal))

    def require_own(self, principal: Principal, operation: Operation, thing: str) -> None:
        """Lets through whom the thing belongs to. May wait for the database.

        Raises NotYours, or TaskNotFound as for one that does not exist where others' tasks are hidden.
        """
        if operation.belonging is None or self._has_own(principal, operation.belonging, thing):
            return
        if not self.sees_all(principal):
            if operation.belonging is Belonging.DATASET:
                raise HiddenDataset(f'No dataset is called "{thing[:100]}".')
            if operation.belonging is Belonging.MODEL:
                raise HiddenModel(f'No model is called "{thing[:100]}".')
            raise HiddenTask.named(thing)
        raise NotYours(f"{thing} belongs to somebody else: only they and administrators may change it.")

    def _has_own(self, principal: Principal, belonging: Belonging, thing: str) -> bool:
        try:
            return self.owner_of(belonging, thing) == principal.user_id
        except TaskIsTraining:
            # That it is one, only those learn who may see it.
            if self.sees_all(principal) or self.owner_of(Belonging.TASK, thing) == principal.user_id:
                raise
            return False

    def owner_of(self, belonging: Belonging, thing: str) -> str | None:
        """Whom a thing belongs to; None: nobody. Raises TaskNotFound, DatabaseUnavailable."""
        return self._find_owners[belonging](thing)
