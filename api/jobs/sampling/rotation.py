"""Several samplers as one: if one becomes unavailable, the next one continues."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from api.jobs.messages import report_warning
from api.jobs.sampling.sampler import Rendered, Sampler, SamplerUnavailable, Shot

T = TypeVar("T")


class Rotation:
    """Renders with the first sampler that is available."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        """Create the sampler of at least one other."""
        self._samplers = samplers
        self._present = 0
        self._loras: dict[str, Path] = {}

    @property
    def version(self) -> str | None:
        """The version of the sampler that rendered last."""
        return self._samplers[self._present].version

    @property
    def workflow_hash(self) -> str | None:
        """The hash of its workflow."""
        return self._samplers[self._present].workflow_hash

    def prepare(self) -> None:
        """Prepare the first available sampler. Raise SamplerProblem, or SamplerUnavailable if none is available."""
        self._with_each(lambda sampler: sampler.prepare())

    def add_lora(self, path: Path, name: str) -> None:
        """Make a LoRA file available. Raise SamplerProblem."""
        self._loras[name] = path
        self._with_each(lambda sampler: sampler.add_lora(path, name))

    def remove_lora(self, name: str) -> None:
        """Remove what `add_lora` added, from every sampler."""
        self._loras.pop(name, None)
        for sampler in self._samplers:
            sampler.remove_lora(name)

    def render(self, shot: Shot) -> Rendered:
        """Render one picture or clip. Raise SamplerProblem, SamplerUnavailable or StopRequested."""
        return self._with_each(lambda sampler: sampler.render(shot))

    def _with_each(self, act: Callable[[Sampler], T]) -> T:
        """Let the present sampler act, or the next one that is available. Raise SamplerUnavailable if none is."""
        first = self._present
        for turn in range(len(self._samplers)):
            sampler = self._samplers[(first + turn) % len(self._samplers)]
            try:
                if turn:
                    self._ready(sampler)
                found = act(sampler)
            except SamplerUnavailable as problem:
                last = problem
                if turn + 1 < len(self._samplers):
                    report_warning(f"{problem} The next one continues.")
                continue
            self._present = (first + turn) % len(self._samplers)
            return found
        raise last

    def _ready(self, sampler: Sampler) -> None:
        sampler.prepare()
        for name, path in self._loras.items():
            sampler.add_lora(path, name)
