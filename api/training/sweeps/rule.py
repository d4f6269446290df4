"""The rule that stops unpromising trainings of a sweep: those whose loss is worse than the median of the others."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from api.domain.reason import Reason
from api.domain.tasks.sweep import EarlyStop, StoredSweep, is_below
from api.domain.tasks.training import StopState, TaskStatus
from api.errors import DatabaseUnavailable, TaskNotFound
from api.training.attempts.watch.series import TAGS, is_evaluation_loss, list_stretches
from api.training.records.attempt_store import AttemptStore
from api.training.sweeps.store import SweepStore, SweptTraining
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two comparisons.
ROUND_SECONDS = 10.0

#: Other trainings that must have reached the step.
LEAST_OTHERS = 2

#: A training loss is the mean over this share of the steps, at least this many of them, with at least so many values.
SMOOTHED_SHARE, LEAST_STEPS, LEAST_VALUES = 0.1, 20, 3

#: Settings that change what the loss measures. Only trainings with equal values are compared.
_INCOMPARABLE = ("/dataset", "/model_type", "/config/model", "/config/eval", "/config/eval_datasets")

_TRAINING_LOSS = Reason.of("mean training loss", "sweep_training_loss")
_EVALUATION_LOSS = Reason.of("evaluation loss", "sweep_evaluation_loss")


@dataclass(frozen=True, slots=True)
class Curve:
    """Values of a series by step, in the order of the steps."""

    steps: Sequence[int] = ()
    values: Sequence[float] = ()

    def mean(self, after: int, until: int) -> float | None:
        """Return the mean of the values in these steps, or None if there are too few."""
        found = [
            value
            for step, value in zip(self.steps, self.values, strict=True)
            if after < step <= until and math.isfinite(value)
        ]
        return fmean(found) if len(found) >= LEAST_VALUES else None

    def last(self, until: int) -> tuple[int, float] | None:
        """Return the last finite value at or before this step with its step, or None."""
        pairs = zip(reversed(self.steps), reversed(self.values), strict=True)
        return next(((step, value) for step, value in pairs if step <= until and math.isfinite(value)), None)


@dataclass(frozen=True, slots=True)
class Curves:
    """The losses of one training."""

    total_steps: int | None
    loss: Curve = field(default_factory=Curve)
    evaluations: Mapping[str, Curve] = field(default_factory=dict)  #: by tag

    def has_reached(self, step: int) -> bool:
        """Return whether the training has made this step."""
        return bool(self.loss.steps) and self.loss.steps[-1] >= step


def describe_rule(rule: EarlyStop) -> Reason:
    """Return the rule in words."""
    return Reason.of(
        "After {share} % of its steps, a training is stopped with a checkpoint if its loss is more than {margin} %"
        " above the median of the other trainings at the same step. At least {others} others with the same model"
        " and dataset must have reached that step. The evaluation loss counts where there is one, otherwise the mean"
        " training loss of the last {smoothed} % of the steps. A training that you resume afterwards is not stopped"
        " again.",
        "sweep_rule",
        share=_percent(rule.after_share),
        margin=_percent(rule.margin),
        others=LEAST_OTHERS,
        smoothed=_percent(SMOOTHED_SHARE),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"


def judge(own: Curves, others: Sequence[Curves], rule: EarlyStop) -> Reason | None:
    """Return why a training is unpromising, or None if it is not, or if that is unknown.

    It is compared at its last step that enough others have reached, so that one that leads is compared, too.
    """
    last_steps = sorted((other.loss.steps[-1] for other in others if other.loss.steps), reverse=True)
    if not own.total_steps or not own.loss.steps or len(last_steps) < LEAST_OTHERS:
        return None
    step, least = min(own.loss.steps[-1], last_steps[LEAST_OTHERS - 1]), rule.after_share * own.total_steps
    if step < least:
        return None
    reached = [other for other in others if other.has_reached(step)]
    evaluated = {tag: curve.last(step) for tag, curve in own.evaluations.items()}
    at = min((found[0] for found in evaluated.values() if found is not None), default=None)
    if at is not None and at >= least:
        compared = _evaluations(own, others, at)
        if compared is not None:
            return _compare(*compared, at, own.total_steps, _EVALUATION_LOSS, rule)
    after = step - max(LEAST_STEPS, round(SMOOTHED_SHARE * own.total_steps))
    mean, means = own.loss.mean(after, step), [other.loss.mean(after, step) for other in reached]
    losses = [each for each in means if each is not None]
    return None if mean is None else _compare(mean, losses, step, own.total_steps, _TRAINING_LOSS, rule)


def _evaluations(own: Curves, others: Sequence[Curves], step: int) -> tuple[float, list[float]] | None:
    """Return the evaluation losses at a step, or None if too few others have the same evaluations."""
    values: list[float] = []
    for curves in (own, *(other for other in others if other.has_reached(step))):
        found = [curves.evaluations.get(tag, Curve()).last(step) for tag in own.evaluations]
        known = [one[1] for one in found if one is not None]
        if len(known) == len(found):
            values.append(fmean(known))
        elif curves is own:
            return None
    return (values[0], values[1:]) if len(values) > LEAST_OTHERS else None


def _compare(
    own: float, others: Sequence[float], step: int, total: int, kind: Reason, rule: EarlyStop
) -> Reason | None:
    if len(others) < LEAST_OTHERS:
        return None
    middle = median(others)
    if own <= middle + rule.margin * abs(middle):
        return None
    return Reason.of(
        "stopped by the rule of its sweep: at step {step} of {total}, its {kind} was {loss}, more than {margin} % above"
        " {median}, the median of {others} other trainings",
        "sweep_unpromising",
        step=step,
        total=total,
        kind=kind,
        loss=f"{own:.4g}",
        margin=_percent(rule.margin),
        median=f"{middle:.4g}",
        others=len(others),
    )


class SweepRule:
    """Compares the trainings of each sweep that has the rule, and stops unpromising ones.

    Any server may do so: a stop is a guarded update. Trainings whose series this server cannot read are left out.
    """

    def __init__(self, store: SweepStore, attempts: AttemptStore, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._attempts = attempts
        self._clock = clock
        self._wake = wake
        self.thread = PeriodicThread("sweep-rule", ROUND_SECONDS, self.run_once)

    def run_once(self) -> None:
        """Compare all trainings once."""
        try:
            for sweep, trainings in self._store.with_rule():
                if sweep.early_stop is not None:
                    self._check(sweep, sweep.early_stop, trainings)
        except DatabaseUnavailable:
            # The next round tries again.
            return

    def _check(self, sweep: StoredSweep, rule: EarlyStop, trainings: Sequence[SweptTraining]) -> None:
        due = [one for one in trainings if one.status is TaskStatus.RUNNING and _is_due(one, rule)]
        curves = {one.task_id: self._read(one) for one in trainings} if due else {}
        for own in due:
            others = [one for one in trainings if one is not own and _measure_alike(one, own)]
            reason = judge(curves[own.task_id], [curves[one.task_id] for one in others], rule)
            if reason is not None:
                self._stop(sweep, own.task_id, reason)

    def _read(self, training: SweptTraining) -> Curves:
        # NumPy takes long to import, and only a sweep with the rule needs it here.
        from api.training.series_views import list_tags, read_series  # noqa: PLC0415

        stretches = list_stretches(self._attempts.of_task(training.task_id))

        def read(tag: str) -> Curve:
            records = read_series(stretches, tag)
            return Curve(records["step"].tolist(), records["value"].tolist())

        try:
            tags = filter(is_evaluation_loss, list_tags(stretches))
            return Curves(training.total_steps, read(TAGS["loss"]), {tag: read(tag) for tag in tags})
        except OSError as error:
            logger.warning("cannot read series", extra={"task_id": training.task_id, "problem": str(error)})
            return Curves(training.total_steps)

    def _stop(self, sweep: StoredSweep, task_id: str, reason: Reason) -> None:
        now = self._clock.now()
        stop = StopState(now, "service", False, None, reason=reason.text, reason_code=reason.said)
        try:
            if self._store.stop_unpromising(task_id, stop, now, reason):
                logger.info("training stopped by the rule of its sweep", extra={"task_id": task_id})
                self._wake()
        except TaskNotFound:
            logger.info("a training of a sweep was deleted meanwhile", extra={"sweep_id": sweep.sweep_id})


def _is_due(training: SweptTraining, rule: EarlyStop) -> bool:
    total = training.total_steps
    return total is not None and (training.step or 0) >= rule.after_share * total


def _measure_alike(one: SweptTraining, other: SweptTraining) -> bool:
    return _incomparable(one.values) == _incomparable(other.values)


def _incomparable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {pointer: value for pointer, value in values.items() if any(is_below(pointer, at) for at in _INCOMPARABLE)}
