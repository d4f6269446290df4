"""Sweeps: one request with several values, planned, queued and stopped as a group."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from api.domain.access.principal import Permission, Principal
from api.domain.access.read_scope import current_scope
from api.domain.finding import finding_of, make_finding, wrap_finding
from api.domain.reason import Reason
from api.domain.tasks.durations import UsualDurations
from api.domain.tasks.sweep import EarlyStop, StoredSweep, SweepStatus, Variation
from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.domain.tasks.training import NewTask, StopState, TaskFilter, TaskOrder, TaskStatus, TrainingPlan
from api.domain.tasks.usage import GB
from api.errors import Conflict, Finding, FindingText, HiddenSweep, Invalid, NotFound, NotYours, QuotaExceeded
from api.files.task_files import TaskStorage
from api.training.check import CheckedRequest, RequestChecker
from api.training.details import TrainingPages
from api.training.intake import Intake
from api.training.service import NO_TASK
from api.training.sweeps.rule import describe_rule
from api.training.sweeps.store import SweepStore
from api.training.sweeps.variants import SECRET_VARIES, SweepVariant, SweepVariants
from api.training.sweeps.views import EarlyStopView, PlannedTraining, SweepDetails, SweepPlan, SweepRow
from api.training.view_builders import show_findings
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.http.pagination import MAX_LIMIT, Page, PageRequest, read_page
from api.util.http.validation import capped
from api.util.text.ids import new_task_id
from api.util.text.masking import MASK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Checked:
    """One training of a sweep, checked like a start."""

    variant: SweepVariant
    found: CheckedRequest | None  #: None if the request is too malformed to check
    errors: tuple[Finding, ...]

    @property
    def plan(self) -> TrainingPlan | None:
        return None if self.found is None else self.found.plan


class Sweeps:
    """The use cases of sweeps. The trainings are the truth: a sweep itself only has its values and its rule."""

    def __init__(
        self,
        store: SweepStore,
        trainings: TrainingPages,
        checker: RequestChecker,
        intake: Intake,
        clock: Clock,
        storage: TaskStorage,
        wake: Callable[[], None],
    ) -> None:
        """Create the service. `wake` triggers the training loop."""
        self._store = store
        self._trainings = trainings
        self._checker = checker
        self._intake = intake
        self._clock = clock
        self._storage = storage
        self._wake = wake

    # -- creating --------------------------------------------------------------------------------------------------

    def plan(self, wanted: SweepVariants, rule: EarlyStop | None, owner: str | None) -> SweepPlan:
        """Return the plan that `create` would carry out, with all findings. Nothing changes."""
        checked = [self._check(variant, NO_TASK, owner) for variant in wanted.all]
        found = [_with_problems(one) for one in checked]
        errors = [*wanted.mistakes, *_merge([(one.variant, one.errors) for one in found], wanted.varied)]
        errors += [finding_of("", problem) for problem in self._quota_problems(checked, owner)]
        warnings = _merge([(one.variant, one.found.warnings if one.found else ()) for one in checked], wanted.varied)
        usual = self._intake.usual_durations()
        planned = [_show_planned(one, usual) for one in found]
        durations, hours = [one.estimated_duration for one in planned], [one.gpu_hours for one in planned]
        sizes = [size for one in checked for size in _sizes(one.plan)]
        known = [size for size in sizes if size is not None]
        return SweepPlan(
            valid=not errors,
            errors=show_findings(capped(errors)),
            warnings=show_findings(capped([*warnings, *self._disk_warnings(sum(known), len(planned))])),
            varied=wanted.varied,
            trainings=tuple(planned),
            total=len(planned),
            total_duration=_sum(durations),
            gpu_hours=_sum(hours),
            disk_bytes=sum(known) if known else None,
            disk_is_minimum=len(known) < len(sizes),
            early_stop=show_rule(rule),
        )

    def create(self, wanted: SweepVariants, rule: EarlyStop | None, actor: str, owner: str | None) -> SweepDetails:
        """Queue all trainings of a sweep, or none.

        Raise Invalid with all errors, InsufficientGPUs, InsufficientStorage or QuotaExceeded.
        """
        now = self._clock.now()
        kind = TASK_ID_KINDS[TaskType.TRAINING]
        checked = {new_task_id(kind, now): variant for variant in wanted.all}
        found = {task_id: self._check(variant, task_id, owner) for task_id, variant in checked.items()}
        errors = [*wanted.mistakes, *_merge([(one.variant, one.errors) for one in found.values()], wanted.varied)]
        if errors:
            raise Invalid(mistakes=capped(errors))
        sweep = StoredSweep(new_task_id("sweep", now), wanted.name, owner, wanted.varied, rule, now)
        valid = {task_id: (one.variant, one.found) for task_id, one in found.items() if one.found is not None}
        trainings = [self._prepare(task_id, *one, sweep) for task_id, one in valid.items()]
        try:
            for task_id, (_, one) in valid.items():
                self._storage.files(task_id).store_secrets(one.secrets)
            put = partial(self._store.create, sweep, trainings, now, actor)
            self._intake.enqueue(owner, put, len(trainings))
        except (Conflict, NotFound, OSError):
            # The queue is full, or a dataset was deleted in the meantime.
            for task_id in found:
                self._storage.files(task_id).remove()
            raise
        logger.info("sweep submitted", extra={"sweep_id": sweep.sweep_id, "trainings": len(trainings)})
        return self.get(sweep.sweep_id)

    def _prepare(self, task_id: str, variant: SweepVariant, checked: CheckedRequest, sweep: StoredSweep) -> NewTask:
        trainer, plan = checked.require()
        self._intake.require(sweep.owner, checked.request)
        return NewTask(
            task_id,
            trainer.name,
            replace(checked.request, samples=None if checked.samples is None else checked.samples.request),
            plan,
            owner=sweep.owner,
            samples=checked.samples,
            sweep_id=sweep.sweep_id,
            sweep_values=variant.values,
        )

    def _check(self, variant: SweepVariant, task_id: str, owner: str | None) -> _Checked:
        if variant.request is None:
            return _Checked(variant, None, variant.mistakes)
        found = self._checker.check(variant.request, task_id, owner=owner)
        return _Checked(variant, found, (*variant.mistakes, *found.errors, *_secret_values(variant, found)))

    def _quota_problems(self, checked: Sequence[_Checked], owner: str | None) -> list[QuotaExceeded]:
        problems = {}
        for request in (one.found.request for one in checked if one.found is not None):
            for problem in self._intake.problems(owner, request, len(checked)):
                problems[problem.detail] = problem
        return list(problems.values())

    def _disk_warnings(self, needed: int, number: int) -> list[Finding]:
        free = self._storage.find_free_bytes()
        if free is None or needed <= free:
            return []
        sizes: dict[str, Any] = {"needed": f"{needed / GB:,.1f}", "free": f"{free / GB:,.1f}"}
        return [
            make_finding(
                "/values",
                FindingText(
                    "sweep_disk_too_small",
                    "The {number} trainings together need about {needed} GB of disk, and {free} GB are free.",
                    "Free some space, save less often, or try fewer values.",
                ),
                number=number,
                **sizes,
            )
        ]

    # -- reading and stopping --------------------------------------------------------------------------------------

    def get_page(self, page: PageRequest) -> Page[SweepRow]:
        """Return a page of visible sweeps, newest first."""
        only_of = current_scope.get().only_of
        found = read_page(lambda *cut: self._store.page(only_of, *cut), lambda row: row.serial, page)
        counts = self._store.counts([row.sweep_id for row in found.rows])
        return found.map(lambda row: _show_row(row, counts[row.sweep_id]))

    def get(self, sweep_id: str) -> SweepDetails:
        """Return a sweep with its trainings. Raise SweepNotFound, also if the user may not see it."""
        sweep = self._find(sweep_id)
        row = _show_row(sweep, self._store.counts([sweep_id])[sweep_id])
        criteria = TaskFilter(sweep=sweep_id, kind=TaskType.TRAINING)
        trainings = self._trainings.get_page(criteria, None, PageRequest(MAX_LIMIT), TaskOrder.NEWEST).rows
        return copy_fields(SweepDetails, row, trainings=tuple(reversed(trainings)))

    def stop(self, sweep_id: str, by: Principal) -> SweepDetails:
        """Request a stop of all trainings, with checkpoints. Raise SweepNotFound or NotYours."""
        sweep = self._find(sweep_id)
        if sweep.owner != by.owner and not by.may(Permission.TASKS_WRITE_ANY):
            raise NotYours("This sweep belongs to another user. Only its owner and administrators may stop it.")
        now = self._clock.now()
        self._store.stop(sweep_id, StopState(now, by.actor, force=False, timeout_seconds=None), now)
        self._wake()
        return self.get(sweep_id)

    def _find(self, sweep_id: str) -> StoredSweep:
        sweep = self._store.get(sweep_id)
        if not current_scope.get().sees(sweep.owner):
            raise HiddenSweep.named(sweep_id)
        return sweep


def _with_problems(checked: _Checked) -> _Checked:
    """Return it with the reasons why this machine cannot serve it among its errors."""
    problems = () if checked.found is None else checked.found.problems
    return replace(checked, errors=(*checked.errors, *(finding_of("", each) for each in problems)))


def _secret_values(variant: SweepVariant, found: CheckedRequest) -> list[Finding]:
    """Return errors for values that are secrets, which would be shown with the sweep."""
    secrets = {*found.secrets.values(), MASK}
    return [
        make_finding(pointer, SECRET_VARIES)
        for pointer, value in variant.values.items()
        if not secrets.isdisjoint(_texts(value))
    ]


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _merge(found: Sequence[tuple[SweepVariant, Sequence[Finding]]], varied: Sequence[Variation]) -> list[Finding]:
    """Return each finding once. One that does not concern all trainings names the first that it concerns."""
    concerned: dict[tuple[str, str, str | None], tuple[Finding, dict[str, SweepVariant]]] = {}
    for variant, findings in found:
        for finding in findings:
            _, variants = concerned.setdefault((finding.pointer, finding.message, finding.remedy), (finding, {}))
            variants[variant.name] = variant
    return [_show_finding(finding, list(each.values()), len(found), varied) for finding, each in concerned.values()]


def _show_finding(
    finding: Finding, variants: Sequence[SweepVariant], total: int, varied: Sequence[Variation]
) -> Finding:
    pointer = f"/request{finding.pointer}" if finding.pointer else ""
    if len(variants) == total:
        return replace(finding, pointer=pointer)
    others = len(variants) - 1
    more = Reason.of(" and {number} {number|other|others}", "and_others", number=others) if others else ""
    return wrap_finding(
        finding,
        pointer,
        FindingText("in_some_trainings", "{values}{others}: {inner}"),
        values=variants[0].describe(varied),
        others=more,
    )


def _sizes(plan: TrainingPlan | None) -> list[int | None]:
    outputs = () if plan is None else (plan.saved_models, plan.checkpoints)
    return [each.total_bytes for each in outputs if each is not None]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _show_planned(checked: _Checked, usual: UsualDurations) -> PlannedTraining:
    plan = checked.plan
    seconds = None if plan is None else usual.of_plan(plan)
    known = [size for size in _sizes(plan) if size is not None]
    return PlannedTraining(
        name=checked.variant.name,
        values=checked.variant.values,
        valid=not checked.errors,
        gpu_count=None if plan is None else plan.gpu_count,
        total_steps=None if plan is None else plan.total_steps,
        estimated_duration=seconds,
        gpu_hours=None if plan is None or seconds is None else seconds * plan.gpu_count / 3600,
        disk_bytes=sum(known) if known else None,
    )


def _show_row(sweep: StoredSweep, counts: dict[TaskStatus, int]) -> SweepRow:
    return copy_fields(
        SweepRow,
        sweep,
        status=_status(counts),
        total=sum(counts.values()),
        counts={status: counts.get(status, 0) for status in TaskStatus},
        early_stop=show_rule(sweep.early_stop),
    )


def _status(counts: dict[TaskStatus, int]) -> SweepStatus:
    unfinished = {status for status, number in counts.items() if number and not status.is_finished}
    if not unfinished:
        return SweepStatus.FINISHED
    if unfinished == {TaskStatus.STOPPING}:
        return SweepStatus.STOPPING
    has_begun = any(number for status, number in counts.items() if status is not TaskStatus.QUEUED)
    return SweepStatus.RUNNING if has_begun else SweepStatus.QUEUED


def show_rule(rule: EarlyStop | None) -> EarlyStopView | None:
    """Return the rule with its description."""
    if rule is None:
        return None
    described = describe_rule(rule)
    return EarlyStopView(rule.after_share, rule.margin, described.text, described.said)
