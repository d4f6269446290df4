"""What renders samples: the interface, the choice among several samplers, and a fake for tests."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import Image

from api.jobs.messages import report_warning

#: Most characters of a problem.
_MOST_TEXT = 2000


T = TypeVar("T")


def one_line(text: str) -> str:
    """Return a text as one line of printable characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture or clip to render. None leaves the sampler's default."""

    lora: str  #: the name that `add_lora` was called with
    strength: float  #: 0: without the LoRA's effect
    prompt: str
    negative: str | None
    seed: int
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered picture or clip."""

    content: bytes
    ending: str  #: of its file name, with the dot
    keys_missing: int | None = (
        None  #: keys of the LoRA that the sampler could not load; None if it does not report them
    )


class SamplerProblem(Exception):
    """The sampler cannot render this. The text says why, and what to do.

    It may quote a foreign server or program, so it becomes one printable line.
    """

    def __init__(self, text: str) -> None:
        """Create it from the text."""
        super().__init__(one_line(text)[:_MOST_TEXT])


class SamplerUnavailable(SamplerProblem):
    """The sampler does not answer, and may do so later."""


class Sampler(Protocol):
    """Renders samples of LoRA files."""

    @property
    def server(self) -> str:
        """What renders, and its version: only pictures of the same one can be compared."""

    @property
    def version(self) -> str | None:
        """The sampler's version; None if it has none."""

    @property
    def workflow_hash(self) -> str | None:
        """A hash of the workflow without what samples set; None if there is no workflow."""

    def prepare(self) -> None:
        """Check everything that can be checked before rendering. Raise SamplerProblem."""

    def add_lora(self, path: Path, name: str) -> None:
        """Make a LoRA file available under a name that was never used before. Raise SamplerProblem."""

    def remove_lora(self, name: str) -> None:
        """Remove what `add_lora` added. Never raises."""

    def render(self, shot: Shot) -> Rendered:
        """Render one picture or clip. Raise SamplerProblem, SamplerUnavailable or StopRequested."""


@dataclass
class FakeSampler:
    """Draws pictures whose colour depends on what a real sampler's picture depends on."""

    server: str = "fake"
    version: str | None = "fake 1"
    workflow_hash: str | None = "0123456789abcdef"
    keys_missing: int | None = 0
    before: Callable[[Shot], None] = lambda shot: None  #: called before each picture; may raise
    loras: dict[str, Path] = field(default_factory=dict)
    shots: list[Shot] = field(default_factory=list)

    def prepare(self) -> None:
        """Do nothing."""

    def add_lora(self, path: Path, name: str) -> None:
        """Note the file."""
        self.loras[name] = path

    def remove_lora(self, name: str) -> None:
        """Forget the file."""
        self.loras.pop(name, None)

    def render(self, shot: Shot) -> Rendered:
        """Return a picture of 8 by 8 pixels in one colour."""
        self.before(shot)
        self.shots.append(shot)
        effect = self.loras[shot.lora].read_bytes() if shot.strength and self.keys_missing == 0 else b""
        seen = repr((self.server, effect, shot.strength if effect else 0, shot.prompt, shot.seed)).encode()
        digest = hashlib.sha256(seen).digest()
        picture = io.BytesIO()
        Image.new("RGB", (8, 8), tuple(digest[:3])).save(picture, "PNG")
        return Rendered(picture.getvalue(), ".png", self.keys_missing)


class Rotation:
    """Lets the first available of several samplers act."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        """Create the rotation of at least one sampler."""
        self._samplers = samplers
        self._present = 0
        self._was_away = False
        self._loras: dict[str, Path] = {}

    def prepare(self) -> None:
        """Prepare the first available sampler. Raise SamplerProblem, or SamplerUnavailable if none is available."""
        self.use(lambda sampler: sampler.prepare())

    def add_lora(self, path: Path, name: str) -> None:
        """Make a LoRA file available. Raise SamplerProblem."""
        self._loras[name] = path
        self.use(lambda sampler: sampler.add_lora(path, name))

    def remove_lora(self, name: str) -> None:
        """Remove what `add_lora` added, from every sampler."""
        self._loras.pop(name, None)
        for sampler in self._samplers:
            sampler.remove_lora(name)

    def use(self, act: Callable[[Sampler], T]) -> T:
        """Call `act` with the present sampler, or while it raises SamplerUnavailable, with the next ones.

        So everything that an `act` renders comes from one sampler. Raise SamplerUnavailable if none is available.
        """
        first = self._present
        for turn in range(len(self._samplers)):
            sampler = self._samplers[(first + turn) % len(self._samplers)]
            try:
                # It may have become another version while it was away.
                if turn or self._was_away:
                    sampler.prepare()
                    for name, path in self._loras.items():
                        sampler.add_lora(path, name)
                found = act(sampler)
            except SamplerUnavailable as problem:
                last = problem
                if turn + 1 < len(self._samplers):
                    report_warning(f"{problem} The next one continues.")
                continue
            self._present, self._was_away = (first + turn) % len(self._samplers), False
            return found
        self._was_away = True
        raise last
