"""The input of a supervisor: what to start, and how to stop it."""

from __future__ import annotations

from .run_as import RunAs
from .small_files import number

CHECKPOINT, TERMINATE, KILL = "checkpoint", "terminate", "kill"
RUNGS = (CHECKPOINT, TERMINATE, KILL)  #: from soft to hard

DEFAULT_TERMINATE_SECONDS = 30.0  #: used for signals and unreadable orders
DEFAULT_CHECKPOINT_SECONDS = 120.0

LEAVE = "leave.json"  #: the file with the order for a SIGTERM on a cluster

MADE = "made"  #: stands for a signal file that the executor has already created


class Spec:
    """What to start. Raises ValueError if it is invalid."""

    def __init__(self, given: dict[str, object]) -> None:
        self.uid = self._text(given, "uid")
        self.argv = self._texts(given, "argv")
        self.cwd = self._text(given, "cwd")
        self.log_directory = self._text(given, "log_directory")
        self.phrases = self._texts(given, "phrases")
        self.step_prefix = self._text(given, "step_prefix")
        self.log_max_bytes = int(self._number(given, "log_max_bytes"))
        self.log_segment_bytes = int(self._number(given, "log_segment_bytes"))
        self.leftover_seconds = self._number(given, "leftover_seconds")
        self.may_use_cgroup = given.get("cgroup") is not False
        run_as = given.get("run_as")
        self.run_as = RunAs(run_as) if isinstance(run_as, dict) else None  #: None: the supervisor's own user
        self.given = given
        if not self.argv:
            raise ValueError("spec.json: argv is empty")

    @staticmethod
    def _text(given: dict[str, object], name: str) -> str:
        value = given.get(name)
        if not isinstance(value, str):
            raise ValueError(f"spec.json: {name} is not a string")
        return value

    @staticmethod
    def _texts(given: dict[str, object], name: str) -> list[str]:
        value = given.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"spec.json: {name} is not a list of strings")
        return value

    @staticmethod
    def _number(given: dict[str, object], name: str) -> float:
        value = number(given.get(name))
        if value is None or value < 0:
            raise ValueError(f"spec.json: {name} is not a number of at least 0")
        return value


class Order:
    """A stop order with the seconds for each rung. Without a signal file the first rung is skipped."""

    def __init__(self, signal_file: str | None, checkpoint_seconds: float, terminate_seconds: float) -> None:
        self.signal_file = signal_file if checkpoint_seconds > 0 else None
        self.checkpoint_seconds = checkpoint_seconds if self.signal_file is not None else 0.0
        self.terminate_seconds = terminate_seconds

    @classmethod
    def parse(cls, given: dict[str, object]) -> Order:
        """Return an order from JSON; invalid values count as SIGTERM."""
        file = given.get("signal_file")
        checkpoint, terminate = number(given.get("checkpoint_seconds")), number(given.get("terminate_seconds"))
        return cls(
            file if isinstance(file, str) and file else None,
            max(0.0, checkpoint or 0.0),
            DEFAULT_TERMINATE_SECONDS if terminate is None else max(0.0, terminate),
        )

    def hardened_by(self, other: Order) -> Order:
        """Return the combination of both orders that, at each rung, is the harder of the two."""
        file = self.signal_file if other.signal_file is not None else None
        checkpoint = min(self.checkpoint_seconds, other.checkpoint_seconds)
        return Order(file, checkpoint, min(self.terminate_seconds, other.terminate_seconds))

    def as_json(self) -> dict[str, object]:
        return {
            "signal_file": self.signal_file,
            "checkpoint_seconds": self.checkpoint_seconds,
            "terminate_seconds": self.terminate_seconds,
        }

    @property
    def first_rung(self) -> str:
        """The rung that the order starts with."""
        if self.signal_file is not None:
            return CHECKPOINT
        return TERMINATE if self.terminate_seconds > 0 else KILL

    def seconds(self, rung: str | None) -> float:
        """Return how long a rung may take before the next one."""
        return {CHECKPOINT: self.checkpoint_seconds, TERMINATE: self.terminate_seconds}.get(rung or "", 0.0)
