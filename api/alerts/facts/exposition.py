"""The facts and alerts as series for /metrics.

One table defines the name of each series.
"""
# A table with one series per line is easier to compare.
# ruff: noqa: E501

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric

from api.alerts.evaluation import FactTable
from api.domain.alerts.alert import Alert
from api.domain.alerts.alert_rule import RuleScope

#: Maximum number of series with one name, since the number of tasks, keys and users is unbounded.
MOST_SERIES = 500

_MIB, _GIB = 1024.0**2, 1024.0**3
_PERCENT, _HOUR, _DAY = 0.01, 3600.0, 86_400.0

#: By scope: the labels of a target, and their names in its series.
LABELS: Mapping[RuleScope, Mapping[str, str]] = {
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


class FactSeries(NamedTuple):
    """A fact as a series, in base units. Only targets for which the fact `only_if` is above zero are included."""

    scope: RuleScope
    fact: str
    name: str
    help: str
    factor: float = 1.0
    only_if: str | None = None
    more_labels: tuple[tuple[str, str], ...] = ()


_G, _T, _S, _D = RuleScope.GPU, RuleScope.TASK, RuleScope.SERVICE, RuleScope.DISK
_FULL_IN = ("disk_full_in_seconds", "Time until the disk is full at the rate of the window; +Inf: it does not fill up.")

SERIES: tuple[FactSeries, ...] = (
    FactSeries(_G, "xid_fatal", "gpu_fatal_xid", "The Xid because of which the GPU is not used; 0 without one."),
    FactSeries(_G, "xid_application_age", "gpu_application_xid_age_seconds", "Time since a program on the GPU failed with an application Xid; +Inf: never."),
    FactSeries(_G, "ecc_uncorrected_new", "gpu_ecc_uncorrected_since_start", "Uncorrectable memory errors since the service started."),
    FactSeries(_G, "temperature_slowdown", "gpu_slowdown_temperature_celsius", "Temperature at which the GPU slows itself down."),
    FactSeries(_G, "fan_has_turned", "gpu_fan_has_turned", "Whether the GPU's fan has turned since the service started."),
    FactSeries(_G, "pcie_width_best", "gpu_pcie_best_lanes", "The highest number of PCIe lanes since the service started."),
    FactSeries(_G, "pcie_generation_best", "gpu_pcie_best_generation", "The highest PCIe generation since the service started."),
    FactSeries(_G, "power_limit_previous", "gpu_power_limit_previous_watts", "The previous power limit, for some minutes after a change."),
    FactSeries(_G, "foreign_memory", "gpu_foreign_memory_bytes", "Memory used by other programs while no task holds the GPU.", _MIB),
    FactSeries(_G, "foreign_growth", "gpu_foreign_memory_growth_ratio", "Smallest hourly growth of that memory in the last 3 hours.", _PERCENT),
    FactSeries(RuleScope.QUEUE, "waiting", "queue_tasks", "Number of queued tasks."),
    FactSeries(RuleScope.QUEUE, "oldest_seconds", "queue_oldest_seconds", "Time for which the oldest queued task has waited."),
    FactSeries(RuleScope.QUEUE, "gpus_available", "queue_free_gpus", "Number of GPUs that a task could get now."),
    FactSeries(RuleScope.QUEUE, "stuck_seconds", "queue_stuck_seconds", "Time for which the first queued task has not started although its GPUs are available."),
    FactSeries(RuleScope.QUEUE, "hold_seconds", "queue_oldest_hold_seconds", "Age of the oldest hold on the queue or a GPU."),
    FactSeries(_T, "running", "task_running", "Whether the task is running.", only_if="running"),
    FactSeries(_T, "completed", "task_completed", "Whether the task completed within the last day.", only_if="completed"),
    FactSeries(_T, "failed", "task_failed", "Whether the task failed within the last day and was not resumed.", only_if="failed"),
    FactSeries(_T, "failed_gravely", "task_failed_gravely", "Whether it failed because of a lost GPU or a full disk.", only_if="failed"),
    FactSeries(_T, "hung_seconds", "task_hung_seconds", "Time for which the task has seemed to hang; 0 if it does not.", only_if="running"),
    FactSeries(_T, "nan_losses", "task_nan_losses", "Whether its latest losses are NaN.", only_if="running"),
    FactSeries(_T, "loss", "task_loss", "Its latest loss.", only_if="running"),
    FactSeries(_T, "loss_excess", "task_loss_excess_mads", "Loss above the median of the last 200, in median absolute deviations.", only_if="running"),
    FactSeries(_T, "progress", "task_progress_ratio", "Share of the steps that are done.", _PERCENT, "running"),
    FactSeries(_T, "step_time", "task_step_seconds", "Time per step.", only_if="running"),
    FactSeries(_T, "eta", "task_eta_seconds", "Estimated time until the end.", only_if="running"),
    FactSeries(_T, "eta_total", "task_expected_duration_seconds", "Estimated time from start to end.", only_if="running"),
    FactSeries(_T, "eta_total_first", "task_first_expected_duration_seconds", "The first estimate of the time from start to end.", only_if="running"),
    FactSeries(_T, "checkpoint_age", "task_checkpoint_age_seconds", "Time since the latest checkpoint, or the start.", only_if="running"),
    FactSeries(_T, "attempts_without_checkpoint", "task_attempts_without_checkpoint", "Attempts since the latest checkpoint.", only_if="running"),
    FactSeries(_T, "gpu_utilization_max", "task_gpu_utilization_ratio", "Utilization of its busiest GPU while it trains.", _PERCENT, "running"),
    FactSeries(_T, "queued_seconds", "task_queued_seconds", "Time for which the task has waited for GPUs.", only_if="queued_seconds"),
    FactSeries(_T, "gpus_free_for_it", "task_free_gpus", "Available GPUs, if they suffice for the task; else 0.", only_if="queued_seconds"),
    FactSeries(_D, "free_gb", "disk_free_bytes", "Free space.", _GIB),
    FactSeries(_D, "free_percent", "disk_free_ratio", "Share of the disk that is free.", _PERCENT),
    FactSeries(_D, "hours_to_full_1h", *_FULL_IN, _HOUR, more_labels=(("window", "1h"),)),
    FactSeries(_D, "hours_to_full_6h", *_FULL_IN, _HOUR, more_labels=(("window", "6h"),)),
    FactSeries(_S, "database_away_seconds", "database_away_seconds", "Time since the database last answered; 0 while it does."),
    FactSeries(_S, "unclean_start_age", "unclean_start_age_seconds", "Time since a start that followed an unclean end; +Inf: never."),
    FactSeries(_S, "starts_15m", "recent_starts", "Starts of the service in the last 15 min."),
    FactSeries(_S, "clock_offset", "clock_offset_seconds", "Absolute difference between this machine's clock and the database's."),
    FactSeries(_S, "idle", "machine_idle", "Whether nothing runs, waits or is being uploaded, and no GPU is in use."),
    FactSeries(_S, "idle_end", "machine_idle_end", "1: the countdown to the end of an idle machine runs; 2: the end failed."),
    FactSeries(_S, "trackers_failing", "trackers_failing", "Trackers that lack something of a training."),
    FactSeries(_S, "comfyui_gpus_unknown", "comfyui_gpus_unknown", "Names in COMFYUI_GPUS that no GPU has."),
    FactSeries(RuleScope.ACTION, "failed_age", "alert_action_failed_age_seconds", "Time since an action of a rule failed; shown for two hours."),
    FactSeries(RuleScope.NODE, "silent_seconds", "node_silent_seconds", "Time since another machine's server last reported."),
    FactSeries(RuleScope.CHANNEL, "failures", "alert_channel_failures", "Failed attempts in a row."),
    FactSeries(RuleScope.CHANNEL, "oldest_unsent_seconds", "alert_channel_oldest_unsent_seconds", "Age of its oldest undelivered message."),
    FactSeries(RuleScope.CHANNEL, "put_aside", "alert_channel_put_aside", "Whether the service has disabled it because its receiver refuses messages."),
    FactSeries(RuleScope.KEY, "days_left", "key_expires_in_seconds", "Time until a key expires.", _DAY),
    FactSeries(RuleScope.KEY, "unused_days", "key_unused_seconds", "Time since a key was last used; +Inf: never.", _DAY),
    FactSeries(RuleScope.USER, "quota_percent", "user_quota_ratio", "Used share of the user's most used quota.", _PERCENT),
)  # fmt: skip


class AlertExposition:
    """Collects the series from memory: the facts that this server computes, and its alerts."""

    def __init__(
        self, latest: Callable[[RuleScope], FactTable | None], open_alerts: Callable[[], Iterable[Alert]]
    ) -> None:
        """Create the collector. `latest` must return no outdated table."""
        self._latest = latest
        self._open_alerts = open_alerts

    def collect(self) -> Iterator[Metric]:
        """Return the series for prometheus-client. Unknown values are left out."""
        tables = {scope: self._latest(scope) for scope in RuleScope}
        families: dict[str, GaugeMetricFamily] = {}
        for series in SERIES:
            table = tables[series.scope]
            if table is None:
                continue
            family = families.get(series.name)
            if family is None:
                family = families[series.name] = _family(series)
            for index in _find_shown(series, table):
                labels = table.targets[index].labels
                shown = [labels.get(name, "") for name in LABELS[series.scope]]
                more = [value for _, value in series.more_labels]
                family.add_metric([*shown, *more], round(table.value(series.fact, index) * series.factor, 9))
        yield from (family for family in families.values() if family.samples)
        yield self._alerts()

    def _alerts(self) -> "Metric":
        names = ("rule", "severity", "state")
        family = GaugeMetricFamily("diffusion_pipe_alerts", "Open alerts that this server evaluates.", labels=names)
        counts: dict[tuple[str, ...], int] = {}
        for alert in self._open_alerts():
            key = (alert.rule_id, alert.severity, alert.shown_state)
            counts[key] = counts.get(key, 0) + 1
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        return family


def _family(series: FactSeries) -> GaugeMetricFamily:
    names = [*LABELS[series.scope].values(), *(name for name, _ in series.more_labels)]
    return GaugeMetricFamily(f"diffusion_pipe_{series.name}", series.help, labels=names)


def _find_shown(series: FactSeries, table: FactTable) -> list[int]:
    column = table.columns.get(series.fact)
    if column is None:
        return []
    known = [index for index, value in enumerate(column) if not math.isnan(value)]
    if series.only_if is not None:
        known = [index for index in known if table.value(series.only_if, index) > 0]
    return known[:MOST_SERIES]
