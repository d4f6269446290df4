"""The grid of a training's samples, with saved models as rows and prompts as columns, and the ranking of the models."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from api.samples.views import RankedModel, SampleRanking
from api.training.output.artifacts import natural
from api.training.records.sample_store import StoredSample

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


# -- the ranking, and how certain it is ------------------------------------------------------------------------------

#: Ratings and the number of values: 0 (rejected) to 5.
_VALUES = range(6)

#: Normal quantile of an interval of 95 %, and the level at which a difference counts as certain.
_QUANTILE, _LEVEL = 1.96, 0.05

#: Decimal places of figures.
_DIGITS = 3

#: Most names in the summary.
_MOST_NAMED = 5


def rank_models(grid: SampleGrid) -> SampleRanking:
    """Return the ranking, best first. Models without a rating come last, in the order of the grid."""
    by_model = {
        row: {column: grid.cells[row, column] for column in grid.columns if (row, column) in grid.cells}
        for row in grid.rows
    }
    ratings = {
        name: {column: sample.rating for column, sample in found.items() if sample.rating is not None}
        for name, found in by_model.items()
    }
    estimates = {name: _estimate(list(found.values())) for name, found in ratings.items() if found}
    ranked = sorted(estimates, key=lambda name: -estimates[name][0])
    worse = _find_worse(ranked, ratings)
    shown = [
        RankedModel(
            rank=1 + sum(estimates[other][0] > estimates[name][0] for other in ranked),
            checkpoint=name or None,
            samples=_count_pictures(by_model[name]),
            rated=len(ratings[name]),
            rejected=sum(rating == 0 for rating in ratings[name].values()),
            mean=round(math.fsum(ratings[name].values()) / len(ratings[name]), _DIGITS),
            score=round(estimates[name][0], _DIGITS),
            low=round(estimates[name][1], _DIGITS),
            high=round(estimates[name][2], _DIGITS),
            is_worse=None if name == ranked[0] else worse[name],
        )
        for name in ranked
    ]
    shown += [
        RankedModel(checkpoint=name or None, samples=_count_pictures(found))
        for name, found in by_model.items()
        if name not in estimates
    ]
    equal = [name or "the base model" for name in ranked[1:] if not worse[name]]
    leader = (ranked[0] or "the base model") if ranked else ""
    if len(ranked) < 2:
        return SampleRanking(tuple(shown), "too_few", "Rate samples of at least two models to compare them.")
    if not equal:
        return SampleRanking(tuple(shown), "clear", f"Best: {leader}. The ratings of all others are clearly lower.")
    named = ", ".join(equal[:_MOST_NAMED]) + (f" and {len(equal) - _MOST_NAMED} more" if equal[_MOST_NAMED:] else "")
    text = f"First: {leader}, but the difference to {named} is not certain. Rate more of their samples."
    return SampleRanking(tuple(shown), "uncertain", text)


def _count_pictures(samples: Mapping[Column, StoredSample]) -> int:
    return sum(sample.record.file is not None for sample in samples.values())


def _estimate(ratings: Sequence[int]) -> tuple[float, float, float]:
    """Return an estimate of the mean rating and its 95 % interval.

    It is the mean of a Dirichlet distribution over the six values, whose prior is worth one rating spread evenly. So a
    single 5 neither wins nor looks certain.
    """
    weights = [1 / len(_VALUES) + sum(rating == value for rating in ratings) for value in _VALUES]
    total = len(ratings) + 1
    mean = math.fsum(weight * value for weight, value in zip(weights, _VALUES, strict=True)) / total
    square = math.fsum(weight * value**2 for weight, value in zip(weights, _VALUES, strict=True)) / total
    margin = _QUANTILE * math.sqrt((square - mean**2) / (total + 1))
    return mean, max(0.0, mean - margin), min(5.0, mean + margin)


def _find_worse(ranked: Sequence[str], ratings: Mapping[str, Mapping[Column, int]]) -> dict[str, bool]:
    """Return for each model after the first whether it is worse with certainty.

    Both are compared on the prompts that were rated for both, by an exact sign-flip test. Holm's correction accounts
    for the number of comparisons.
    """
    chances = {
        name: _chance([ratings[ranked[0]][each] - rating for each, rating in ratings[name].items()
                       if each in ratings[ranked[0]]])
        for name in ranked[1:]
    }  # fmt: skip
    found, is_certain = {}, True
    for count, name in enumerate(sorted(chances, key=lambda name: chances[name])):
        is_certain = is_certain and chances[name] * (len(chances) - count) <= _LEVEL
        found[name] = is_certain
    return found


def _chance(differences: Sequence[int]) -> float:
    """Return the probability of a sum at least this far from 0, if each difference could as well be the opposite."""
    sums = {0: 1}
    for difference in differences:
        after: dict[int, int] = {}
        for value, count in sums.items():
            for each in (value + difference, value - difference):
                after[each] = after.get(each, 0) + count
        sums = after
    extreme = abs(sum(differences))
    return sum(count for value, count in sums.items() if abs(value) >= extreme) / sum(sums.values())
