"""How far each principal sees: by VISIBILITY and by its permissions. The one place that decides it."""

from api.domain.access import Permission, Principal
from api.domain.sight import WHOLE, Sight


class Visibility:
    """Makes sights. `hides_others`: who may not see everybody's tasks sees their own only."""

    def __init__(self, *, hides_others: bool) -> None:
        self.hides_others = hides_others

    def sees_all(self, principal: Principal) -> bool:
        """Whether this principal may see everybody's tasks."""
        return not self.hides_others or principal.may(Permission.TASKS_READ_ANY)

    def sight_of(self, principal: Principal) -> Sight:
        """How far this principal sees."""
        sees_all, sees_commands = self.sees_all(principal), principal.may(Permission.PROCESSES_READ)
        if sees_all and sees_commands:
            return WHOLE
        return Sight(None if sees_all else principal.owner, sees_all, sees_commands)

    def least_sight_of(self, owner: str | None) -> Sight:
        """What everybody sees who may see a task of this user at all: messages are made for it once."""
        return Sight(owner if self.hides_others else None, not self.hides_others, sees_commands=False)
