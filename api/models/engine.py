"""What a task may wish of the engine that places it on a cluster. No I/O."""

import re

from api.utils.frozen import frozen

_FEATURES = re.compile(r"[A-Za-z0-9_.\-]+(&[A-Za-z0-9_.\-]+)*", re.ASCII)


@frozen
class EngineWishes:
    """Wishes of one request; None leaves each to the cluster."""

    partition: str | None = None  #: several by comma
    constraint: str | None = None  #: features that a node must have, in the engine's own form
    account: str | None = None
    qos: str | None = None
    time_limit: int | None = None  #: minutes
    cpus_per_gpu: int | None = None
    memory_per_gpu: int | None = None  #: MB

    @property
    def partitions(self) -> frozenset[str]:
        """The partitions of which one will do; none leaves the choice to the engine."""
        return frozenset(name for name in (self.partition or "").split(",") if name)

    @property
    def features(self) -> frozenset[str] | None:
        """The features that a node must have all of; None where only the engine knows what the constraint means."""
        if self.constraint is None:
            return frozenset()
        return frozenset(self.constraint.split("&")) if _FEATURES.fullmatch(self.constraint) else None
