"""The grid of a training's samples: rows are saved models, columns are prompts with their settings."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from api.training.artifacts import natural
from api.training.sample_store import StoredSample

#: A column: the settings and the strength of the LoRA. The base model, whose strength is 0, belongs to all of them.
Column = tuple[str, float]


@dataclass(frozen=True, slots=True)
class SampleGrid:
    """The newest sample of each cell. The row of the base model is empty text."""

    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: dict[tuple[str, Column], StoredSample]

    def only(self, rows: Collection[str]) -> "SampleGrid":
        """Return the grid with these rows, and the columns that they have."""
        cells = {key: sample for key, sample in self.cells.items() if key[0] in rows}
        filled = {column for _, column in cells}
        return SampleGrid(
            tuple(row for row in self.rows if row in rows),
            tuple(each for each in self.columns if each in filled),
            cells,
        )


def arrange(samples: Sequence[StoredSample], saved: Iterable[str]) -> SampleGrid:
    """Return the grid of these samples, oldest first. `saved` names the saved models in the order of their rows.

    The base model comes first, then deleted models.
    """
    made = {sample.record.checkpoint or "" for sample in samples}
    known = [name for name in saved if name in made]
    rows = (*(("",) if "" in made else ()), *sorted(made - {"", *known}, key=natural), *known)
    #: Strengths by settings, both in the order in which they first appear.
    strengths: dict[str, dict[float, None]] = {}
    for sample in samples:
        found = strengths.setdefault(sample.settings, {})
        if sample.record.checkpoint:
            found[sample.record.strength] = None
    columns = tuple((settings, each) for settings, found in strengths.items() for each in found or (0.0,))
    cells = {}
    for sample in samples:
        name, record = sample.record.checkpoint or "", sample.record
        for strength in (record.strength,) if name else strengths[sample.settings] or (0.0,):
            cells[name, (sample.settings, strength)] = sample
    return SampleGrid(rows, columns, cells)
