"""Authorization: decides by the principal's permissions, the operation table and the owner of a resource."""

import functools
from collections.abc import Callable, Mapping

from api.access.key_ring import KeyRing
from api.domain.access.principal import LOCAL, Permission, Principal
from api.domain.access.read_scope import WHOLE, ReadScope
from api.errors import Forbidden, HiddenDataset, HiddenModel, HiddenTask, NotYours, TaskIsTraining
from api.web.operations import Operation, OperationTable, ResourceKind

#: The number of cached task owners; a task never changes its owner.
_REMEMBERED = 10_000

#: Returns the owner of a resource by its id, or None if it has no owner. Raises TaskNotFound.
FindOwner = Callable[[str], str | None]


class Visibility:
    """Computes scopes. With `hides_others`, users without the permission see only their own tasks."""

    def __init__(self, *, hides_others: bool) -> None:
        self.hides_others = hides_others

    def sees_all(self, principal: Principal) -> bool:
        """Return whether this principal may see the tasks of all users."""
        return not self.hides_others or principal.may(Permission.TASKS_READ_ANY)

    def scope_of(self, principal: Principal) -> ReadScope:
        """Return the scope of this principal."""
        sees_all, sees_commands = self.sees_all(principal), principal.may(Permission.PROCESSES_READ)
        if sees_all and sees_commands:
            return WHOLE
        return ReadScope(None if sees_all else principal.owner, sees_all, sees_commands)

    def minimum_scope_of(self, owner: str | None) -> ReadScope:
        """Return the scope that all readers of this user's tasks share; messages are rendered for it once."""
        return ReadScope(owner if self.hides_others else None, not self.hides_others, sees_commands=False)


class Authority:
    """Authorization decisions. `identify` and `require` read memory only; `require_owner` may query the database."""

    def __init__(
        self,
        ring: KeyRing,
        owners: Mapping[ResourceKind, FindOwner],
        *,
        needs_keys: bool,
        hides_others: bool,
        operations: OperationTable | None = None,
    ) -> None:
        """With `hides_others` users see only their own tasks, unless they have the permission to see all."""
        self.ring = ring
        self.needs_keys = needs_keys
        self.visibility = Visibility(hides_others=hides_others)
        self._operations = operations or OperationTable()
        remembered: FindOwner = functools.lru_cache(_REMEMBERED)(owners[ResourceKind.TASK])
        self._find_owners: dict[ResourceKind, FindOwner] = {**owners, ResourceKind.TASK: remembered}

    def identify(self, key: str | None, cookie: str | None) -> Principal | None:
        """Return the principal of this key or cookie; None without either. Raises the errors of `KeyRing`."""
        if not self.needs_keys:
            return LOCAL
        if key is not None:
            return self.ring.find_key(key)
        return None if cookie is None else self.ring.find_session(cookie)

    def find(self, method: str, pattern: str) -> Operation | None:
        """Return the operation of a method at an address, or None if it is not in the table."""
        return self._operations.find(method, pattern)

    def require(self, principal: Principal, operation: Operation | None, name: str) -> Operation:
        """Check that the principal has the permission of the operation, and return the operation.

        Raises Forbidden, also for every principal if the operation is not in the table.
        """
        if operation is None:
            raise Forbidden(f"The operation {name} is not in the permission table.")
        needed = operation.permission
        if needed is not None and needed not in principal.permissions:
            raise Forbidden(f"The key lacks the permission {needed}.", data={"missing_permission": needed})
        return operation

    def sees_all(self, principal: Principal) -> bool:
        """Return whether this principal may see the tasks of all users."""
        return self.visibility.sees_all(principal)

    def scope_of_owner(self, owner: str | None) -> ReadScope:
        """Return the current scope of a task's owner, from all of their keys."""
        if not self.visibility.hides_others or (owner is not None and self.ring.may(owner, Permission.TASKS_READ_ANY)):
            return WHOLE
        return ReadScope(owner, sees_all=False)

    def depends_on_owner(self, principal: Principal, operation: Operation) -> bool:
        """Return whether the decision depends on the owner of the resource."""
        if operation.resource_kind is None:
            return False
        # A response to a change shows the task, so changing requires seeing.
        may_change = not operation.changes or principal.may(Permission.TASKS_WRITE_ANY)
        return not (may_change and self.sees_all(principal))

    def require_owner(self, principal: Principal, operation: Operation, resource_id: str) -> None:
        """Check that the principal owns the resource. May wait for the database.

        Raises NotYours; or, where the tasks of others are hidden, the same TaskNotFound as for a missing one.
        """
        if operation.resource_kind is None or self._owns(principal, operation.resource_kind, resource_id):
            return
        if not self.sees_all(principal):
            if operation.resource_kind is ResourceKind.DATASET:
                raise HiddenDataset.named(resource_id)
            if operation.resource_kind is ResourceKind.MODEL:
                raise HiddenModel.named(resource_id)
            raise HiddenTask.named(resource_id)
        raise NotYours(f"{resource_id} belongs to another user. Only its owner and administrators may change it.")

    def _owns(self, principal: Principal, resource_kind: ResourceKind, resource_id: str) -> bool:
        try:
            return self.owner_of(resource_kind, resource_id) == principal.user_id
        except TaskIsTraining:
            # Only users who may see the task learn that it is a training.
            if self.sees_all(principal) or self.owner_of(ResourceKind.TASK, resource_id) == principal.user_id:
                raise
            return False

    def owner_of(self, resource_kind: ResourceKind, resource_id: str) -> str | None:
        """Return the owner of a resource, or None if it has none. Raises TaskNotFound, DatabaseUnavailable."""
        return self._find_owners[resource_kind](resource_id)
