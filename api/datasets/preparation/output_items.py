"""Turn the output files of a program into the items of a new version. Pure, except for storing blobs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from api.datasets.preparation.views import ItemReport
from api.domain.datasets.dataset import Blob, ManifestItem
from api.jobs.preprocessing.work import Made, Record

#: Most problems in a result.
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Output:
    """One stored file that a program made from an item; None stands for the item's own file."""

    suffix: str
    extension: str | None
    blob: Blob | None
    mask: str | None
    control: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the stored form, for reuse by later tasks."""
        blob = None if self.blob is None else [self.blob.sha256, self.blob.size_bytes]
        return {**asdict(self), "blob": blob}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Output":
        """Return the output with these stored fields."""
        blob = None if fields["blob"] is None else Blob(*fields["blob"])
        return cls(fields["suffix"], fields["extension"], blob, fields["mask"], fields["control"], fields["facts"])

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hashes of the blobs that must still exist for this output to be usable."""
        own = None if self.blob is None else self.blob.sha256
        return tuple(sha256 for sha256 in (own, self.mask, self.control) if sha256 is not None)


def outputs_of(record: Record, store: Callable[[str], Blob]) -> list[Output]:
    """Return the outputs of a record; `store` puts each file into the blob store. Raises OSError."""
    stored: dict[str, Blob] = {}

    def once(name: str | None) -> Blob | None:
        if name is None:
            return None
        if name not in stored:
            stored[name] = store(name)
        return stored[name]

    return [_output(made, once(made.name), once(made.mask), once(made.control)) for made in record.made]


def _output(made: Made, blob: Blob | None, mask: Blob | None, control: Blob | None) -> Output:
    facts = {name: getattr(made, name) for name in ("width", "height", "fps", "duration", "frame_count")}
    beside = [None if each is None else each.sha256 for each in (mask, control)]
    return Output(made.suffix, made.extension, blob, beside[0], beside[1], facts)


class NewItems:
    """The items of the new version, each with a unique path."""

    def __init__(self) -> None:
        self.items: list[ManifestItem] = []
        self._taken: set[str] = set()

    def keep(self, item: ManifestItem) -> None:
        """Add an item unchanged."""
        self._add(item, item.path)

    def add(self, source: ManifestItem, output: Output) -> None:
        """Add an output of an item, with the caption of the item."""
        path = PurePosixPath(source.path)
        extension = path.suffix if output.extension is None else output.extension
        name = f"{path.stem}{output.suffix}{extension}"
        sha256, size = source.sha256, source.size_bytes
        if output.blob is not None:
            sha256, size = output.blob.sha256, output.blob.size_bytes
        made = ManifestItem(
            str(path.with_name(name)),
            sha256,
            size,
            source.caption,
            output.mask or source.mask_sha256,
            output.control or source.control_sha256,
        )
        self._add(made, made.path)

    def _add(self, item: ManifestItem, wanted: str) -> None:
        path, number = PurePosixPath(wanted), 2
        while str(path).casefold() in self._taken:
            path = PurePosixPath(wanted).with_stem(f"{PurePosixPath(wanted).stem}_{number}")
            number += 1
        self._taken.add(str(path).casefold())
        self.items.append(replace(item, path=str(path)))


@dataclass(slots=True)
class Tally:
    """Counts of the work, for its result."""

    made: int = 0
    reused: int = 0
    unchanged: int = 0
    dropped: int = 0
    problem_count: int = 0
    problems: list[ItemReport] = field(default_factory=list)

    def note_problem(self, path: str, text: str) -> None:
        """Count a problem, and store it if it is one of the first."""
        self.problem_count += 1
        if len(self.problems) < MOST_SHOWN:
            self.problems.append(ItemReport(path, text))

    def count(self, outputs: Iterable[Output], *, is_known: bool) -> None:
        """Count the files that were made from one item."""
        files = [output for output in outputs if output.blob is not None]
        if not files:
            self.unchanged += 1
        elif is_known:
            self.reused += len(files)
        else:
            self.made += len(files)
