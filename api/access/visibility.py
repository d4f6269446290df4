"""Determines the scope of each principal, from VISIBILITY and its permissions."""

from api.domain.access import Permission, Principal
from api.domain.read_scope import WHOLE, ReadScope


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
        """Return what every user who may see this user's tasks can see; messages are rendered for it once."""
        return ReadScope(owner if self.hides_others else None, not self.hides_others, sees_commands=False)
