"""Options that a request passes to the cluster's scheduler. No I/O."""

import re
from dataclasses import dataclass

_SIGNS = re.compile(r"[&|,()\[\]]")
_CLOSED_BY = {"(": ")", "[": "]"}
_FEATURES = re.compile(r"[A-Za-z0-9_.\-]+(&[A-Za-z0-9_.\-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Cluster options of one request. None leaves the choice to the cluster."""

    partition: str | None = None  #: several are separated by commas
    constraint: str | None = None  #: required node features, in the cluster's own syntax
    account: str | None = None
    qos: str | None = None
    time_limit: int | None = None  #: minutes
    cpus_per_gpu: int | None = None
    memory_per_gpu: int | None = None  #: MB

    @property
    def partitions(self) -> frozenset[str]:
        """The acceptable partitions. Empty: the cluster chooses."""
        return frozenset(name for name in (self.partition or "").split(",") if name)

    @property
    def features(self) -> frozenset[str] | None:
        """The features that a node must have, or None if the constraint is too complex to decide here."""
        if self.constraint is None:
            return frozenset()
        return frozenset(self.constraint.split("&")) if _FEATURES.fullmatch(self.constraint) else None

    @property
    def named_features(self) -> frozenset[str]:
        """Every feature that the constraint mentions: `h100*2` mentions `h100`."""
        words = (part.partition("*")[0] for part in _SIGNS.split(self.constraint or ""))
        return frozenset(word for word in words if word)

    @property
    def is_constraint_closed(self) -> bool:
        """Whether the brackets of the constraint are balanced."""
        open_ones: list[str] = []
        for sign in self.constraint or "":
            if sign in _CLOSED_BY:
                open_ones.append(_CLOSED_BY[sign])
            elif sign in ")]" and (not open_ones or open_ones.pop() != sign):
                return False
        return not open_ones
