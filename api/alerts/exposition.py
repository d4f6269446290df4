"""The facts that rules are held against, and the alerts, as series for /metrics: one table says what is called how."""
# A catalogue is read by rows.
# ruff: noqa: E501

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric

from api.alerts.evaluation import FactTable
from api.domain.alert import Alert
from api.domain.alert_rule import RuleScope

#: The most series of one name: a label for each task, key or user must not grow without end.
MOST_SERIES = 500

_MIB, _GIB = 1024.0**2, 1024.0**3
_PERCENT, _HOUR, _DAY = 0.01, 3600.0, 86_400.0

#: By scope, which of a target's labels a series has, and what they are called there.
_LABELS: Mapping[RuleScope, Mapping[str, str]] = {
    RuleScope.GPU: {"gpu_uuid": "uuid"},
    RuleScope.TASK: {"task_id": "task_id", "model_type": "model_type"},
    RuleScope.QUEUE: {},
    RuleScope.DISK: {"disk": "disk", "node": "node"},
    RuleScope.SERVICE: {"node": "node"},
    RuleScope.NODE: {"node": "node"},
    RuleScope.CHANNEL: {"channel_id": "channel_id", "channel": "channel"},
    RuleScope.KEY: {"key_id": "key_id", "user": "user"},
    RuleScope.USER: {"user": "user"},
    RuleScope.ACTION: {"action_id": "action_id", "action": "action", "rule_id": "rule_id"},
}


class ShownFact(NamedTuple):
    """How a fact is shown: in base units, of the targets of which another fact is above zero."""

    scope: RuleScope
    fact: str
    name: str
    help: str
    factor: float = 1.0
    only_if: str | None = None
    more_labels: tuple[tuple[str, str], ...] = ()


_G, _T, _S, _D = RuleScope.GPU, RuleScope.TASK, RuleScope.SERVICE, RuleScope.DISK
_FULL_IN = ("disk_full_in_seconds", "Time until the disk is full at the pace of the window; +Inf: it does not fill up.")

SERIES: tuple[ShownFact, ...] = (
    ShownFact(_G, "xid_fatal", "gpu_fatal_xid", "The Xid that forbids its use; 0 without one."),
    ShownFact(_G, "xid_application_age", "gpu_application_xid_age_seconds", "Time since a program on it failed by its own fault; +Inf: never."),
    ShownFact(_G, "ecc_uncorrected_new", "gpu_ecc_uncorrected_since_start", "Uncorrectable memory errors since the service began."),
    ShownFact(_G, "temperature_slowdown", "gpu_slowdown_temperature_celsius", "Temperature at which it slows itself down."),
    ShownFact(_G, "fan_has_turned", "gpu_fan_has_turned", "Whether its fan has turned since the service began."),
    ShownFact(_G, "pcie_width_best", "gpu_pcie_best_lanes", "The most lanes of its link since the service began."),
    ShownFact(_G, "pcie_generation_best", "gpu_pcie_best_generation", "The highest generation of its link since the service began."),
    ShownFact(_G, "power_limit_previous", "gpu_power_limit_previous_watts", "The limit that held until it was changed."),
    ShownFact(_G, "foreign_memory", "gpu_foreign_memory_bytes", "Memory held by programs that are not of the service, while no task has it.", _MIB),
    ShownFact(_G, "foreign_growth", "gpu_foreign_memory_growth_ratio", "By which that grew in each of the last 3 hours, at least.", _PERCENT),
    ShownFact(RuleScope.QUEUE, "waiting", "queue_tasks", "Tasks that wait."),
    ShownFact(RuleScope.QUEUE, "oldest_seconds", "queue_oldest_seconds", "Time that the oldest has waited."),
    ShownFact(RuleScope.QUEUE, "gpus_available", "queue_free_gpus", "GPUs that a task could get."),
    ShownFact(RuleScope.QUEUE, "stuck_seconds", "queue_stuck_seconds", "Time for which the first in line has not started although its GPUs are available."),
    ShownFact(RuleScope.QUEUE, "hold_seconds", "queue_oldest_hold_seconds", "Time since the oldest hold, of the queue or of a GPU, was made."),
    ShownFact(_T, "running", "task_running", "Its attempt is under way.", only_if="running"),
    ShownFact(_T, "completed", "task_completed", "It has completed within the last day.", only_if="completed"),
    ShownFact(_T, "failed", "task_failed", "It has failed within the last day, and nobody has resumed it since.", only_if="failed"),
    ShownFact(_T, "failed_gravely", "task_failed_gravely", "Whether it failed for a lost GPU or a full disk.", only_if="failed"),
    ShownFact(_T, "hung_seconds", "task_hung_seconds", "Time since it seems to hang; 0 while it does not.", only_if="running"),
    ShownFact(_T, "nan_losses", "task_nan_losses", "Whether its latest losses are no numbers.", only_if="running"),
    ShownFact(_T, "loss", "task_loss", "Its latest loss.", only_if="running"),
    ShownFact(_T, "loss_excess", "task_loss_excess_mads", "Loss above the median of the last 200, in median absolute deviations.", only_if="running"),
    ShownFact(_T, "progress", "task_progress_ratio", "Of all its steps.", _PERCENT, "running"),
    ShownFact(_T, "step_time", "task_step_seconds", "Time for a step.", only_if="running"),
    ShownFact(_T, "eta", "task_eta_seconds", "Time until its end, as it looks now.", only_if="running"),
    ShownFact(_T, "eta_total", "task_expected_duration_seconds", "Time from its start to its end, as it looks now.", only_if="running"),
    ShownFact(_T, "eta_total_first", "task_first_expected_duration_seconds", "The same, as it looked when its pace was first known.", only_if="running"),
    ShownFact(_T, "checkpoint_age", "task_checkpoint_age_seconds", "Time since its latest checkpoint, or its start.", only_if="running"),
    ShownFact(_T, "attempts_without_checkpoint", "task_attempts_without_checkpoint", "Attempts since its latest checkpoint.", only_if="running"),
    ShownFact(_T, "gpu_utilization_max", "task_gpu_utilization_ratio", "Of the busiest of its GPUs, while it trains.", _PERCENT, "running"),
    ShownFact(_T, "queued_seconds", "task_queued_seconds", "Time that it has waited for GPUs.", only_if="queued_seconds"),
    ShownFact(_T, "gpus_free_for_it", "task_free_gpus", "Available GPUs, if they are as many as it wants; else 0.", only_if="queued_seconds"),
    ShownFact(_D, "free_gb", "disk_free_bytes", "Free space.", _GIB),
    ShownFact(_D, "free_percent", "disk_free_ratio", "Free space, of all of it.", _PERCENT),
    ShownFact(_D, "hours_to_full_1h", *_FULL_IN, _HOUR, more_labels=(("window", "1h"),)),
    ShownFact(_D, "hours_to_full_6h", *_FULL_IN, _HOUR, more_labels=(("window", "6h"),)),
    ShownFact(_S, "database_away_seconds", "database_away_seconds", "Time since the database last answered; 0 while it does."),
    ShownFact(_S, "unclean_start_age", "unclean_start_age_seconds", "Time since the service began without having ended before; +Inf: it did not."),
    ShownFact(_S, "starts_15m", "recent_starts", "Starts of the service in the last 15 min."),
    ShownFact(_S, "clock_offset", "clock_offset_seconds", "Between this machine's clock and the database's, without sign."),
    ShownFact(_S, "idle", "machine_idle", "Whether nothing runs, waits or comes in here, and no GPU is at work."),
    ShownFact(RuleScope.ACTION, "failed_age", "alert_action_failed_age_seconds", "Time since an action of a rule failed; for two hours."),
    ShownFact(RuleScope.NODE, "silent_seconds", "node_silent_seconds", "Time since another machine's server last gave a sign of life."),
    ShownFact(RuleScope.CHANNEL, "failures", "alert_channel_failures", "Attempts to send that failed in a row."),
    ShownFact(RuleScope.CHANNEL, "oldest_unsent_seconds", "alert_channel_oldest_unsent_seconds", "Time that its oldest message waits."),
    ShownFact(RuleScope.CHANNEL, "put_aside", "alert_channel_put_aside", "Whether the service has switched it off, since its receiver refuses it."),
    ShownFact(RuleScope.KEY, "days_left", "key_expires_in_seconds", "Time until a key ends.", _DAY),
    ShownFact(RuleScope.KEY, "unused_days", "key_unused_seconds", "Time since a key was last used; +Inf: never.", _DAY),
    ShownFact(RuleScope.USER, "quota_percent", "user_quota_ratio", "Use of the fullest of a user's quotas.", _PERCENT),
)  # fmt: skip


class AlertExposition:
    """Collects the series from memory: facts where this server makes them, and the alerts that it looks after."""

    def __init__(
        self, latest: Callable[[RuleScope], FactTable | None], open_alerts: Callable[[], Iterable[Alert]]
    ) -> None:
        """`latest` gives no table that is not of now."""
        self._latest = latest
        self._open_alerts = open_alerts

    def collect(self) -> Iterator[Metric]:
        """The series for prometheus-client; what nobody knows is left out."""
        tables = {scope: self._latest(scope) for scope in RuleScope}
        families: dict[str, GaugeMetricFamily] = {}
        for series in SERIES:
            table = tables[series.scope]
            if table is None:
                continue
            family = families.get(series.name)
            if family is None:
                family = families[series.name] = _family(series)
            for place in _places(series, table):
                labels = table.targets[place].labels
                told = [labels.get(name, "") for name in _LABELS[series.scope]]
                more = [value for _, value in series.more_labels]
                family.add_metric([*told, *more], round(table.value(series.fact, place) * series.factor, 9))
        yield from (family for family in families.values() if family.samples)
        yield self._alerts()

    def _alerts(self) -> "Metric":
        names = ("rule", "severity", "state")
        family = GaugeMetricFamily("diffusion_pipe_alerts", "Alerts that this server looks after.", labels=names)
        counts: dict[tuple[str, ...], int] = {}
        for alert in self._open_alerts():
            key = (alert.rule_id, alert.severity, alert.shown_state)
            counts[key] = counts.get(key, 0) + 1
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        return family


def _family(series: ShownFact) -> GaugeMetricFamily:
    names = [*_LABELS[series.scope].values(), *(name for name, _ in series.more_labels)]
    return GaugeMetricFamily(f"diffusion_pipe_{series.name}", series.help, labels=names)


def _places(series: ShownFact, table: FactTable) -> list[int]:
    column = table.columns.get(series.fact)
    if column is None:
        return []
    known = [place for place, value in enumerate(column) if not math.isnan(value)]
    if series.only_if is not None:
        known = [place for place in known if table.value(series.only_if, place) > 0]
    return known[:MOST_SERIES]
