"""Detection of hanging trainings. Pure functions."""

from dataclasses import dataclass

from api.domain.progress import Progress, Stage
from api.domain.reason import Reason

#: Multiples of the usual and of the longest step after which a training hangs. The first step after an evaluation
#: compiles, moves memory, or waits for the disk.
USUAL_STEPS = 20.0
LONGEST_STEPS = 3.0

#: A step that takes 5 times the usual one, twice the longest, and 20 s makes the pace unknown, long before the training
#: counts as hanging.
STALLED_STEPS = 5.0
STALLED_LONGEST = 2.0
STALLED_SECONDS = 20.0


_STAGES = {
    Stage.LOADING: Reason.of("loading", "while_loading"),
    Stage.CACHING: Reason.of("caching", "while_caching"),
    Stage.EVALUATING: Reason.of("evaluating", "while_evaluating"),
    Stage.SAVING: Reason.of("saving", "while_saving"),
}


@dataclass(frozen=True, slots=True)
class HangLimits:
    """Limits in seconds.

    `step` is the minimum limit of a step. `quiet` applies to stages without steps: loading, caching, evaluating,
    saving.
    """

    step: float = 300.0
    quiet: float = 1800.0


def describe_hang(progress: Progress, started_at: float, now: float, limits: HangLimits) -> Reason | None:
    """Return why this training counts as hanging, or None. Times in Unix seconds."""
    if progress.stage is Stage.TRAINING:
        return _without_step(progress, started_at, now, limits)
    since = max(progress.last_line_at or started_at, progress.stage_since or started_at)
    if now - since > limits.quiet:
        return Reason.of(
            "it is {stage} and has printed nothing for {seconds} s (the limit is {bound} s)",
            "says_nothing",
            stage=_STAGES[progress.stage],
            seconds=round(now - since),
            bound=round(limits.quiet),
        )
    return None


def is_stalled(progress: Progress, started_at: float, now: float, limits: HangLimits) -> bool:
    """Return whether its pace is unknown because steps have stopped or it hangs."""
    if progress.stage is not Stage.TRAINING:
        return describe_hang(progress, started_at, now, limits) is not None
    usual, longest = progress.seconds_per_step or 0.0, progress.longest_step or 0.0
    bound = max(STALLED_SECONDS, STALLED_STEPS * usual, STALLED_LONGEST * longest)
    return now - _last_step_at(progress, started_at) > min(bound, _step_bound(progress, limits))


def _step_bound(progress: Progress, limits: HangLimits) -> float:
    bound = max(
        limits.step,
        USUAL_STEPS * (progress.seconds_per_step or 0.0),
        LONGEST_STEPS * (progress.longest_step or 0.0),
    )
    # The first step compiles and fills caches.
    return max(bound, limits.quiet) if progress.seconds_per_step is None else bound


def _last_step_at(progress: Progress, started_at: float) -> float:
    return max(progress.last_step_at or started_at, progress.stage_since or started_at)


def _without_step(progress: Progress, started_at: float, now: float, limits: HangLimits) -> Reason | None:
    bound, since = _step_bound(progress, limits), _last_step_at(progress, started_at)
    if now - since <= bound:
        return None
    seconds, limit = round(now - since), round(bound)
    if progress.seconds_per_step is None:
        return Reason.of("no step for {seconds} s (the limit is {bound} s)", "no_step", seconds=seconds, bound=limit)
    return Reason.of(
        "no step for {seconds} s, where {usual} s is usual (the limit is {bound} s)",
        "no_step_where_usual",
        seconds=seconds,
        usual=f"{progress.seconds_per_step:.1f}",
        bound=limit,
    )
