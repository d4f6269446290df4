"""A GPU as everything above the monitor knows it: its reading, the judgement on it, and the task that holds it."""

from dataclasses import dataclass, field

from api.models.reading import GPUCondition, GPUIdentity, GPUVitals
from api.models.snapshot import GPUReading
from api.models.task import RegisteredTask
from api.services.gpus.judgement import Judgement

# Stand for what is not known, so that every field has one expression.
_NO_IDENTITY = GPUIdentity(index=-1, uuid="")
_NO_VITALS = GPUVitals()
_NO_CONDITION = GPUCondition()


@dataclass(frozen=True, slots=True)
class JudgedGPU:
    """A GPU with everything that its answers are made from."""

    reading: GPUReading
    judgement: Judgement
    task: RegisteredTask | None
    identity: GPUIdentity = field(init=False)
    vitals: GPUVitals = field(init=False)
    condition: GPUCondition = field(init=False)

    def __post_init__(self) -> None:
        # Looked up hundreds of times a sweep: as properties they would cost a call each time.
        object.__setattr__(self, "identity", self.reading.identity or _NO_IDENTITY)
        object.__setattr__(self, "vitals", self.reading.vitals or _NO_VITALS)
        object.__setattr__(self, "condition", self.reading.condition or _NO_CONDITION)

    @property
    def power_limit(self) -> float | None:
        """The limit in W that holds: the lower of what was set and what the board must not pass."""
        enforced = self.condition.power_enforced_limit_watts
        return self.condition.power_limit_watts if enforced is None else enforced
