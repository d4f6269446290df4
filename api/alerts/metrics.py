"""What rules can be about: every metric with its unit. A test holds the facts against this list."""

from collections.abc import Mapping

from api.domain.alert_rule import AlertMetric, RuleScope

_GPU, _TASK = RuleScope.GPU, RuleScope.TASK

#: Metrics of GPUs of which GPUHistory has the last day, by the name that it uses.
IN_HISTORY: Mapping[str, str] = {
    "utilization_gpu": "utilization_gpu",
    "utilization_memory": "utilization_memory",
    "memory_used": "memory_used",
    "temperature_gpu": "temperature_gpu",
    "temperature_memory": "temperature_memory",
    "power_usage": "power_usage",
    "clock_sm": "clock_sm",
    "fan_speed": "fan_speed",
}

_ROWS: tuple[tuple[RuleScope, str, str, str], ...] = (
    (_GPU, "lost", "0/1", "the driver cannot reach it any more"),
    (_GPU, "reading_age", "s", "since it was last read"),
    (_GPU, "available", "0/1", "a task could get it"),
    (_GPU, "health", "0-2", "0 healthy, 1 degraded, 2 unhealthy"),
    (_GPU, "utilization_gpu", "%", "utilisation"),
    (_GPU, "utilization_memory", "%", "utilisation of its memory's bus"),
    (_GPU, "memory_used", "MB", "memory in use"),
    (_GPU, "memory_used_percent", "%", "memory in use"),
    (_GPU, "temperature_gpu", "°C", "temperature"),
    (_GPU, "temperature_memory", "°C", "temperature of its memory"),
    (_GPU, "temperature_slowdown", "°C", "at which it slows itself down"),
    (_GPU, "power_usage", "W", "power"),
    (_GPU, "power_limit", "W", "the limit that holds"),
    (_GPU, "power_limit_default", "W", "the limit that it was made with"),
    (_GPU, "power_limit_previous", "W", "the limit that held until it was changed"),
    (_GPU, "fan_speed", "%", "fan"),
    (_GPU, "fan_has_turned", "0/1", "its fan has turned since the service began"),
    (_GPU, "clock_sm", "MHz", "clock"),
    (_GPU, "pcie_width", "lanes", "of its link"),
    (_GPU, "pcie_width_best", "lanes", "the most since the service began"),
    (_GPU, "pcie_generation", "", "of its link; idle GPUs lower it"),
    (_GPU, "pcie_generation_best", "", "the highest since the service began"),
    (_GPU, "ecc_uncorrected", "errors", "uncorrectable memory errors since the driver was loaded"),
    (_GPU, "ecc_uncorrected_new", "errors", "of these, since the service began"),
    (_GPU, "repair_pending", "0/1", "a repair of its memory waits for a reset"),
    (_GPU, "repair_failed", "0/1", "its memory could not be repaired"),
    (_GPU, "recovery_action", "", "what the driver asks for; 0 is nothing"),
    (_GPU, "xid_fatal", "Xid", "the error that forbids its use; 0 without one"),
    (_GPU, "xid_application_age", "s", "since a program on it failed by its own fault"),
    (_GPU, "hw_thermal_percent", "%", "of 5 min in which its hardware slowed it down for heat"),
    (_GPU, "sw_thermal_percent", "%", "of 30 min in which the driver slowed it down for heat"),
    (_GPU, "power_brake_percent", "%", "of 5 min in which a power brake slowed it down"),
    (_GPU, "power_cap_percent", "%", "of 30 min in which its power limit slowed it down"),
    (_GPU, "foreign_memory", "MB", "held by programs that are not ours, while no task has it"),
    (_GPU, "foreign_growth", "%", "by which that grew in each of the last 3 hours, at least"),
    (_GPU, "queue_waiting", "tasks", "that wait for a GPU"),
    (RuleScope.NODE, "silent_seconds", "s", "since its server last gave a sign of life"),
    (RuleScope.DISK, "free_percent", "%", "free space"),
    (RuleScope.DISK, "free_gb", "GB", "free space"),
    (RuleScope.DISK, "hours_to_full_1h", "h", "until it is full, at the pace of the last hour"),
    (RuleScope.DISK, "hours_to_full_6h", "h", "until it is full, at the pace of the last 6 hours"),
    (RuleScope.SERVICE, "source_failing", "0/1", "nothing can be read of any GPU"),
    (RuleScope.SERVICE, "database_away_seconds", "s", "since the database last answered"),
    (RuleScope.SERVICE, "unclean_start_age", "s", "since the service began without having ended before"),
    (RuleScope.SERVICE, "starts_15m", "starts", "of the service in the last 15 min"),
    (RuleScope.SERVICE, "clock_offset", "s", "between this machine's clock and the database's, without sign"),
    (RuleScope.SERVICE, "idle", "0/1", "nothing runs, waits or comes in, and no GPU is at work"),
    (RuleScope.QUEUE, "waiting", "tasks", "that wait"),
    (RuleScope.QUEUE, "oldest_seconds", "s", "that the oldest has waited"),
    (RuleScope.QUEUE, "gpus_available", "GPUs", "that a task could get"),
    (
        RuleScope.QUEUE,
        "stuck_seconds",
        "s",
        "for which the first in line could have had its GPUs, and has not started",
    ),
    (RuleScope.QUEUE, "hold_seconds", "s", "since the oldest hold, of the queue or of a GPU, was made"),
    (_TASK, "running", "0/1", "its attempt is under way"),
    (_TASK, "completed", "0/1", "it has completed within the last day"),
    (_TASK, "failed", "0/1", "it has failed, and nobody has resumed it since"),
    (_TASK, "failed_gravely", "0/1", "and for a lost GPU or a full disk"),
    (_TASK, "hung_seconds", "s", "since it seems to hang; 0 while it does not"),
    (_TASK, "nan_losses", "0/1", "its latest losses are no numbers"),
    (_TASK, "loss", "", "its latest loss"),
    (_TASK, "loss_excess", "MADs", "of the loss above the median of the last 200, in median absolute deviations"),
    (_TASK, "progress", "%", "of all its steps"),
    (_TASK, "step_time", "s", "for a step"),
    (_TASK, "eta", "s", "until its end, as it looks now"),
    (_TASK, "eta_total", "s", "from its start to its end, as it looks now"),
    (_TASK, "eta_total_first", "s", "the same, as it looked when its pace was first known"),
    (_TASK, "eta_slip", "ratio", "of the two"),
    (_TASK, "checkpoint_age", "s", "since its latest checkpoint, or its start"),
    (_TASK, "attempts_without_checkpoint", "attempts", "since its latest checkpoint"),
    (_TASK, "queued_seconds", "s", "that it has waited for GPUs"),
    (_TASK, "gpu_utilization_max", "%", "of the busiest of its GPUs, while it trains"),
    (_TASK, "gpus_free_for_it", "GPUs", "available ones, if they are as many as it wants; else 0"),
    (RuleScope.CHANNEL, "failures", "attempts", "that failed in a row"),
    (RuleScope.CHANNEL, "oldest_unsent_seconds", "s", "that its oldest message waits"),
    (RuleScope.CHANNEL, "put_aside", "0/1", "the service has switched it off, since its receiver refuses it"),
    (RuleScope.KEY, "days_left", "d", "until it ends"),
    (RuleScope.KEY, "unused_days", "d", "since it was last used"),
    (RuleScope.ACTION, "failed_age", "s", "since it failed"),
    (RuleScope.USER, "quota_percent", "%", "of the fullest of a user's quotas"),
)

METRICS: tuple[AlertMetric, ...] = tuple(
    AlertMetric(name, scope, unit, text, has_history=scope is _GPU and name in IN_HISTORY)
    for scope, name, unit, text in _ROWS
)

_BY_SCOPE: dict[RuleScope, dict[str, AlertMetric]] = {
    scope: {metric.name: metric for metric in METRICS if metric.scope is scope} for scope in RuleScope
}


def metrics_of(scope: RuleScope) -> Mapping[str, AlertMetric]:
    """The metrics that rules of this scope may name, by name."""
    return _BY_SCOPE[scope]
