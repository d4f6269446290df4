"""The simulated machines: each may die and return, or be cut off from the heads while its processes continue."""

from dataclasses import dataclass, field

#: Seconds of silence after which a file server gives the locks of a machine to others.
LEASE_SECONDS = 30.0


@dataclass(eq=False)
class Node:
    """The true state of one machine with its GPUs."""

    name: str
    gpus: tuple[str, ...]
    is_dead: bool = False
    is_isolated: bool = False  #: it cannot reach the storage either
    unseen_since: float | None = None  #: monotonic; None while the heads see it
    back_at: float = 0.0  #: when the heads will see it again
    seen_at: float = 0.0  #: when its GPUs were read last
    absences: list[tuple[float, float]] = field(default_factory=list)  #: all ended absences, by the monotonic clock

    @classmethod
    def make(cls, number: int, gpus: int) -> "Node":
        """Return the node of this number."""
        uuids = (f"GPU-{number:04x}{index:04x}-0000-0000-0000-000000000000" for index in range(gpus))
        return cls(f"node{number}", tuple(uuids))

    @property
    def is_seen(self) -> bool:
        return self.unseen_since is None

    def leave(self, now: float, back_at: float, is_dead: bool, is_isolated: bool) -> None:
        """Make it die, or cut it off from the heads, and optionally from the storage."""
        if self.unseen_since is None:
            self.unseen_since = now
        self.is_dead, self.back_at = is_dead, back_at
        self.is_isolated = self.is_isolated or is_isolated

    def come_back(self, now: float) -> None:
        """Make it visible to the heads again."""
        if self.unseen_since is not None:
            self.absences.append((self.unseen_since, now))
        self.unseen_since, self.is_dead, self.is_isolated = None, False, False

    def has_lost_storage(self, now: float) -> bool:
        """Return whether the file server has released the locks of its processes."""
        return self.is_isolated and self.unseen_since is not None and now - self.unseen_since >= LEASE_SECONDS

    def was_away(self, since: float, until: float, seconds: float) -> bool:
        """Return whether it was away for this long without interruption, in a period that overlaps this one."""
        spans = [*self.absences, *([] if self.unseen_since is None else [(self.unseen_since, until)])]
        return any(end - begin >= seconds and end >= since and begin <= until for begin, end in spans)
