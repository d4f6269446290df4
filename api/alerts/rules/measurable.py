"""The metrics that rules can use, with their units.

A test compares this list with the facts.
"""

from collections.abc import Mapping

from api.domain.alerts.alert_rule import AlertMetric, RuleScope

_GPU, _TASK = RuleScope.GPU, RuleScope.TASK

#: Metrics of which GPUHistory stores the last day, with their names there.
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
    (_GPU, "lost", "0/1", "the driver can no longer reach the GPU"),
    (_GPU, "reading_age", "s", "time since the last reading"),
    (_GPU, "available", "0/1", "a task could get the GPU now"),
    (_GPU, "health", "0-2", "0 healthy, 1 degraded, 2 unhealthy"),
    (_GPU, "utilization_gpu", "%", "utilization"),
    (_GPU, "utilization_memory", "%", "utilization of the memory bus"),
    (_GPU, "memory_used", "MB", "memory in use"),
    (_GPU, "memory_used_percent", "%", "memory in use"),
    (_GPU, "temperature_gpu", "°C", "temperature"),
    (_GPU, "temperature_memory", "°C", "temperature of the memory"),
    (_GPU, "temperature_slowdown", "°C", "temperature at which the GPU slows itself down"),
    (_GPU, "power_usage", "W", "power draw"),
    (_GPU, "power_limit", "W", "current power limit"),
    (_GPU, "power_limit_default", "W", "default power limit"),
    (_GPU, "power_limit_previous", "W", "previous power limit, for some minutes after a change"),
    (_GPU, "fan_speed", "%", "fan speed"),
    (_GPU, "fan_has_turned", "0/1", "the fan has turned since the service started"),
    (_GPU, "clock_sm", "MHz", "SM clock"),
    (_GPU, "pcie_width", "lanes", "current PCIe lanes"),
    (_GPU, "pcie_width_best", "lanes", "most PCIe lanes since the service started"),
    (_GPU, "pcie_generation", "", "current PCIe generation; idle GPUs lower it"),
    (_GPU, "pcie_generation_best", "", "highest PCIe generation since the service started"),
    (_GPU, "ecc_uncorrected", "errors", "uncorrectable memory errors since the driver was loaded"),
    (_GPU, "ecc_uncorrected_new", "errors", "uncorrectable memory errors since the service started"),
    (_GPU, "repair_pending", "0/1", "a memory repair needs a reset"),
    (_GPU, "repair_failed", "0/1", "the memory could not be repaired"),
    (_GPU, "recovery_action", "", "recovery action that the driver requests; 0 is none"),
    (_GPU, "xid_fatal", "Xid", "Xid because of which the GPU is not used; 0 without one"),
    (_GPU, "xid_application_age", "s", "time since a program on the GPU failed with an application Xid"),
    (_GPU, "hw_thermal_percent", "%", "share of the last 5 min with a hardware slowdown for heat"),
    (_GPU, "sw_thermal_percent", "%", "share of the last 30 min with a software slowdown for heat"),
    (_GPU, "power_brake_percent", "%", "share of the last 5 min with a power brake slowdown"),
    (_GPU, "power_cap_percent", "%", "share of the last 30 min with a slowdown by the power limit"),
    (_GPU, "foreign_memory", "MB", "memory used by other programs while no task holds the GPU"),
    (_GPU, "foreign_growth", "%", "smallest hourly growth of foreign_memory in the last 3 hours"),
    (_GPU, "queue_waiting", "tasks", "tasks that wait for a GPU"),
    (RuleScope.NODE, "silent_seconds", "s", "time since its server last reported"),
    (RuleScope.DISK, "free_percent", "%", "free space"),
    (RuleScope.DISK, "free_gb", "GB", "free space"),
    (RuleScope.DISK, "hours_to_full_1h", "h", "time until the disk is full, at the rate of the last hour"),
    (RuleScope.DISK, "hours_to_full_6h", "h", "time until the disk is full, at the rate of the last 6 hours"),
    (RuleScope.SERVICE, "source_failing", "0/1", "no GPU can be read"),
    (RuleScope.SERVICE, "database_away_seconds", "s", "time since the database last answered"),
    (RuleScope.SERVICE, "unclean_start_age", "s", "time since a start that followed an unclean end"),
    (RuleScope.SERVICE, "starts_15m", "starts", "starts of the service in the last 15 min"),
    (RuleScope.SERVICE, "clock_offset", "s", "absolute difference between this machine's clock and the database's"),
    (RuleScope.SERVICE, "idle", "0/1", "nothing runs, waits or is being uploaded, and no GPU is in use"),
    (RuleScope.SERVICE, "idle_end", "0/1/2", "1: the countdown to the end of an idle machine runs; 2: the end failed"),
    (RuleScope.SERVICE, "trackers_failing", "trackers", "trackers that lack something of a training"),
    (RuleScope.SERVICE, "comfyui_gpus_unknown", "GPUs", "names in COMFYUI_GPUS that no GPU has"),
    (RuleScope.QUEUE, "waiting", "tasks", "queued tasks"),
    (RuleScope.QUEUE, "oldest_seconds", "s", "time for which the oldest task has waited"),
    (RuleScope.QUEUE, "gpus_available", "GPUs", "GPUs that a task could get now"),
    (
        RuleScope.QUEUE,
        "stuck_seconds",
        "s",
        "time for which the first task has not started although its GPUs are available",
    ),
    (RuleScope.QUEUE, "hold_seconds", "s", "age of the oldest hold on the queue or a GPU"),
    (_TASK, "running", "0/1", "the task is running"),
    (_TASK, "completed", "0/1", "the task completed within the last day"),
    (_TASK, "failed", "0/1", "the task failed within the last day and was not resumed"),
    (_TASK, "failed_gravely", "0/1", "it failed because of a lost GPU or a full disk"),
    (_TASK, "hung_seconds", "s", "time for which the task has seemed to hang; 0 if it does not"),
    (_TASK, "nan_losses", "0/1", "the latest losses are NaN"),
    (_TASK, "loss", "", "latest loss"),
    (_TASK, "loss_excess", "MADs", "loss above the median of the last 200, in median absolute deviations"),
    (_TASK, "progress", "%", "share of the steps that are done"),
    (_TASK, "step_time", "s", "time per step"),
    (_TASK, "eta", "s", "estimated time until the end"),
    (_TASK, "eta_total", "s", "estimated time from start to end"),
    (_TASK, "eta_total_first", "s", "first estimate of the time from start to end"),
    (_TASK, "eta_slip", "ratio", "eta_total divided by eta_total_first"),
    (_TASK, "checkpoint_age", "s", "time since the latest checkpoint, or the start"),
    (_TASK, "attempts_without_checkpoint", "attempts", "attempts since the latest checkpoint"),
    (_TASK, "queued_seconds", "s", "time for which the task has waited for GPUs"),
    (_TASK, "gpu_utilization_max", "%", "utilization of its busiest GPU while it trains"),
    (_TASK, "gpus_free_for_it", "GPUs", "available GPUs, if they suffice for the task; else 0"),
    (RuleScope.CHANNEL, "failures", "attempts", "failed attempts in a row"),
    (RuleScope.CHANNEL, "oldest_unsent_seconds", "s", "age of the oldest undelivered message"),
    (
        RuleScope.CHANNEL,
        "put_aside",
        "0/1",
        "the service has disabled the channel because its receiver refuses messages",
    ),
    (RuleScope.KEY, "days_left", "d", "time until the key expires"),
    (RuleScope.KEY, "unused_days", "d", "time since the key was last used"),
    (RuleScope.ACTION, "failed_age", "s", "time since the action failed"),
    (RuleScope.USER, "quota_percent", "%", "used share of the user's most used quota"),
)

METRICS: tuple[AlertMetric, ...] = tuple(
    AlertMetric(name, scope, unit, text, has_history=scope is _GPU and name in IN_HISTORY)
    for scope, name, unit, text in _ROWS
)

_BY_SCOPE: dict[RuleScope, dict[str, AlertMetric]] = {
    scope: {metric.name: metric for metric in METRICS if metric.scope is scope} for scope in RuleScope
}


def metrics_of(scope: RuleScope) -> Mapping[str, AlertMetric]:
    """Return the metrics of a scope by name."""
    return _BY_SCOPE[scope]
