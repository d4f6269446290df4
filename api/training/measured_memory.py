"""The GPU memory that a training needs, judged by measured runs on these machines. Pure functions."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import median

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select

from api.db.database import Database
from api.db.measurement_tables import memory_runs
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.measured_memory import MemoryFacts, MemoryOrigin, MemoryRun, PlannedMemory
from api.domain.tasks.training import TrainingPlan


def judge_memory(facts: MemoryFacts, runs: Sequence[MemoryRun]) -> PlannedMemory:
    """Estimate the memory of a training from these runs. Only runs with the same variant and settings count."""
    comparable = [
        run
        for run in runs
        if facts.variant is not None
        and (run.facts.model_type, run.facts.variant, dict(run.facts.settings))
        == (facts.model_type, facts.variant, dict(facts.settings))
        and run.facts.sizes
    ]
    if not facts.sizes or not comparable:
        return PlannedMemory(facts)
    above = [run for run in comparable if run.facts.covers(facts)]
    below = [run for run in comparable if facts.covers(run.facts)]
    same = [run.peak_mb for run in above if run in below]
    if same:
        return PlannedMemory(facts, MemoryOrigin.MEASURED, len(same), median_mb=round(median(same)), most_mb=max(same))
    # Of the runs that need more, the smallest figure is the best bound; of runs with equal facts, the largest.
    most = min((_most(run.facts, above) for run in above), default=None)
    least = max((run.peak_mb for run in below), default=None)
    if most is None and least is None:
        return PlannedMemory(facts)
    if most is not None:
        count = sum(_most(run.facts, above) == most for run in above)
        return PlannedMemory(facts, MemoryOrigin.AT_MOST, count, at_most_mb=most, at_least_mb=least)
    return PlannedMemory(facts, MemoryOrigin.AT_LEAST, len(below), at_least_mb=least)


def _most(facts: MemoryFacts, runs: Sequence[MemoryRun]) -> int:
    return max(run.peak_mb for run in runs if run.facts == facts)


def with_measured_memory(plan: TrainingPlan, runs: Sequence[MemoryRun]) -> TrainingPlan:
    """Return the plan with measured memory. The trainer's estimate stays if no run is comparable."""
    if plan.memory is None:
        return plan
    found, estimate = judge_memory(plan.memory.facts, runs), plan.estimated_memory_mb
    match found.origin:
        case MemoryOrigin.MEASURED:
            figure = found.most_mb
            basis = Reason.of(
                "measured in {runs} {runs|run|runs} here with the same settings: at most {most}.",
                "memory_measured",
                runs=found.runs,
                most=_gb(found.most_mb),
            )
        case MemoryOrigin.AT_MOST:
            figure = found.at_most_mb
            smaller: ReasonOrText = ""
            if found.at_least_mb is not None:
                smaller = Reason.of(
                    ", one with a smaller load {least}", "memory_of_smaller", least=_gb(found.at_least_mb)
                )
            basis = Reason.of(
                "at most: {runs} {runs|run|runs} here with the same or a larger load used {most}{smaller}.",
                "memory_at_most",
                runs=found.runs,
                most=_gb(found.at_most_mb),
                smaller=smaller,
            )
        case MemoryOrigin.AT_LEAST:
            figure = max(found.at_least_mb or 0, estimate or 0)
            estimated: ReasonOrText = ""
            if estimate is not None:
                estimated = Reason.of("; estimated: {mb}", "memory_also_estimated", mb=_gb(estimate))
            basis = Reason.of(
                "at least: {runs} {runs|run|runs} here with the same or a smaller load used {least}{estimated}.",
                "memory_at_least",
                runs=found.runs,
                least=_gb(found.at_least_mb),
                estimated=estimated,
            )
        case _:
            origin = MemoryOrigin.UNKNOWN if estimate is None else MemoryOrigin.ESTIMATED
            return replace(plan, memory=replace(found, origin=origin))
    return replace(
        plan, memory=found, estimated_memory_mb=figure, memory_basis=basis.text, memory_basis_code=basis.said
    )


def _gb(mb: int | None) -> str:
    return "unknown" if mb is None else f"{mb / 1024:.1f} GB"


_FACTS = TypeAdapter(MemoryFacts)

#: Limit of runs per variant; the latest are used.
_MOST_RUNS = 1_000


class MemoryRunStore:
    """Reads stored measurements."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, model_type: str, variant: str | None) -> list[MemoryRun]:
        """Return the latest runs of a variant, newest first. Empty if the variant is unknown."""
        if variant is None:
            return []
        mine = (memory_runs.c.model_type == model_type) & (memory_runs.c.variant == variant)
        query = select(memory_runs.c.facts, memory_runs.c.peak_mb).where(mine)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(memory_runs.c.serial.desc()).limit(_MOST_RUNS)).all()
        return [MemoryRun(_FACTS.validate_python(row.facts), row.peak_mb) for row in rows]


def store_memory_run(connection: Connection, attempt_uid: str, run: MemoryRun, seconds: float) -> None:
    """Store the memory that an attempt used, in the transaction that ends the attempt."""
    row = {
        "attempt_uid": attempt_uid,
        "model_type": run.facts.model_type,
        "variant": run.facts.variant,
        "facts": asdict(run.facts),
        "peak_mb": run.peak_mb,
        "measured_at": seconds,
    }
    connection.execute(insert(memory_runs).values(row))
