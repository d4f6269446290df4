"""The built-in rules: what operators of GPU machines watch, with thresholds that cause few false alerts.

The thresholds come from NVIDIA's documentation and from what exporters and their users run.
"""
# A table with one rule per line is easier to compare.
# ruff: noqa: E501

import re
from collections.abc import Mapping
from typing import Any

from api.domain.alerts.alert_rule import AlertRule, Clause, Comparison, RuleScope
from api.domain.machines.gpu_event import Severity

_CLAUSE = re.compile(r"(\w+) (>=|<=|==|!=|>|<) (?:(-?[\d.]+)|(\w+)(?: ([+-]) ([\d.]+))?)")

_C, _W, _I = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_GPU, _TASK = RuleScope.GPU, RuleScope.TASK
_MINUTE = 60.0


def parse_clause(text: str) -> Clause:
    """Return the clause of a text such as `temperature_gpu >= temperature_slowdown - 5`. Raises ValueError."""
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no clause: write it like `metric >= 5` or `metric >= other - 5`")
    metric, compare, number, of, sign, offset = match.groups()
    value = float(number or 0) if of is None else float(f"{sign or '+'}{offset or 0}")
    return Clause(metric, Comparison(compare), value, of)


def _rule(
    rule_id: str, title: str, scope: RuleScope, severity: Severity, when: str, summary: str, remedy: str, **more: Any
) -> AlertRule:
    """Return a rule. Its clauses are joined either all by `and` or all by `or`."""
    for name in ("clear", "critical_when"):
        if name in more:
            more[name] = _clauses(more[name])
    return AlertRule(
        rule_id, title, scope, _clauses(when), summary,
        any_of=" or " in when, severity=severity, remedy=remedy, is_builtin=True, **more,
    )  # fmt: skip


def _clauses(text: str) -> tuple[Clause, ...]:
    return tuple(parse_clause(part) for part in re.split(r" and | or ", text))


_RULES: tuple[AlertRule, ...] = (
    _rule("gpu_lost", "GPU lost", _GPU, _C, "lost == 1", "{gpu} is no longer on the PCIe bus.", "Reboot the machine. If it happens again, check the card's power and seating.", resolved="{gpu} is back", for_seconds=15, clear_seconds=60),
    _rule("driver_unreadable", "GPU driver unreadable", RuleScope.SERVICE, _C, "source_failing == 1", "No GPU of {node} can be read: {source_problem}", "Check `dmesg` and `nvidia-smi`, then reload the driver or reboot.", resolved="The GPUs of {node} can be read again", for_seconds=60, clear_seconds=60),
    _rule("gpu_unreadable", "GPU unreadable", _GPU, _C, "reading_age > 120 and lost == 0", "{gpu} has not answered for {reading_age:seconds}.", "Check `nvidia-smi` and `dmesg`. Reboot if the GPU does not answer there either.", resolved="{gpu} answers again", clear_seconds=60),
    _rule("xid_fatal", "Fatal GPU error (Xid)", _GPU, _C, "xid_fatal > 0", "{gpu} has a fatal error: {health}.", "{health_action} Until then no training is started on this GPU.", resolved="{gpu} has recovered from its fatal error"),
    _rule("xid_application", "Program error on a GPU", _GPU, _I, "xid_application_age < 600", "A program on {gpu} failed with an error of its own: {xid_application}.", "Run the program under compute-sanitizer. Suspect the GPU only if it fails on no other.", is_event=True),
    _rule("recovery_action", "GPU needs a recovery action", _GPU, _C, "recovery_action > 0", "{gpu} needs attention: {health}.", "{health_action}", resolved="{gpu} needs no recovery action any more"),
    _rule("ecc_uncorrected", "Uncorrectable memory errors", _GPU, _C, "ecc_uncorrected_new > 0", "{gpu} has {ecc_uncorrected_new} new uncorrectable memory errors: results may be wrong.", "Reset the GPU when it is idle. Replace it if the errors return.", resolved="{gpu} has no new memory errors"),
    _rule("repair_pending", "Memory repair needs a reset", _GPU, _W, "repair_pending == 1", "{gpu} needs a reset to finish a memory repair.", "Reset the GPU when it is idle. Trainings can continue until then.", resolved="{gpu} has finished its memory repair"),
    _rule("repair_failed", "Memory repair failed", _GPU, _C, "repair_failed == 1", "The memory of {gpu} could not be repaired.", "Run NVIDIA's field diagnostic and replace the card.", resolved="The memory of {gpu} is repaired"),
    _rule("near_slowdown", "GPU too hot", _GPU, _W, "temperature_gpu >= temperature_slowdown - 5", "{gpu} is too hot: {temperature_gpu} °C. It slows down at {temperature_slowdown} °C.", "Check the fans, the dust and the airflow.", resolved="{gpu} is cool again", for_seconds=5 * _MINUTE, clear="temperature_gpu <= temperature_slowdown - 10", clear_seconds=5 * _MINUTE),
    _rule("thermal_throttle", "GPU slowed down by heat", _GPU, _W, "hw_thermal_percent >= 50", "{gpu} was slowed down by heat for {hw_thermal_percent} % of the last 5 minutes, at {temperature_gpu} °C.", "Improve the cooling: check the fans, the dust and the airflow.", resolved="{gpu} is no longer slowed down by heat", for_seconds=5 * _MINUTE, clear="hw_thermal_percent < 10", clear_seconds=10 * _MINUTE),
    _rule("thermal_throttle_soft", "GPU slowed down by the driver for heat", _GPU, _I, "sw_thermal_percent >= 80", "The driver slowed {gpu} down for heat for {sw_thermal_percent} % of the last 30 minutes.", "Improve the cooling: check the fans, the dust and the airflow.", resolved="The driver no longer slows {gpu} down for heat", for_seconds=30 * _MINUTE, clear="sw_thermal_percent < 10", clear_seconds=10 * _MINUTE, enabled=False),
    _rule("power_brake", "Power brake", _GPU, _W, "power_brake_percent >= 50", "A power brake slowed {gpu} down for {power_brake_percent} % of the last 5 minutes.", "Check the power supply, its cables and the rack's power.", resolved="{gpu} is no longer slowed down by a power brake", for_seconds=5 * _MINUTE, clear="power_brake_percent < 10", clear_seconds=10 * _MINUTE),
    _rule("power_cap", "Lowered power limit", _GPU, _I, "power_cap_percent >= 80 and power_limit < power_limit_default", "{gpu} is held back by a power limit of {power_limit} W; its default is {power_limit_default} W.", "Raise the limit with `nvidia-smi -pl` unless it is intended.", resolved="{gpu} is no longer held back by its power limit", for_seconds=30 * _MINUTE, clear_seconds=10 * _MINUTE, enabled=False),
    _rule("fan_stands", "GPU fan stopped", _GPU, _W, "fan_speed == 0 and temperature_gpu >= 70 and fan_has_turned == 1", "The fan of {gpu} is at 0 % at {temperature_gpu} °C.", "Check the fan: it should stop only while the GPU is cool.", resolved="The fan of {gpu} turns again", for_seconds=3 * _MINUTE, clear="fan_speed > 0", clear_seconds=_MINUTE),
    _rule("pcie_width", "Narrow PCIe link", _GPU, _W, "utilization_gpu > 50 and pcie_width < pcie_width_best", "{gpu} uses {pcie_width} of {pcie_width_best} PCIe lanes.", "Reseat the card and check the riser.", resolved="{gpu} uses all its PCIe lanes again", for_seconds=5 * _MINUTE, clear="pcie_width >= pcie_width_best"),
    _rule("pcie_generation", "Slow PCIe link", _GPU, _W, "utilization_gpu > 50 and pcie_generation < pcie_generation_best", "{gpu} runs at PCIe generation {pcie_generation} instead of {pcie_generation_best}.", "Reseat the card and check the riser and the firmware.", resolved="{gpu} runs at its full PCIe generation again", for_seconds=5 * _MINUTE, clear="pcie_generation >= pcie_generation_best", enabled=False),
    _rule("power_limit_changed", "Power limit changed", _GPU, _I, "power_limit != power_limit_previous", "The power limit of {gpu} was changed from {power_limit_previous} W to {power_limit} W.", "To restore it, run `nvidia-smi -pl {power_limit_previous}`.", for_seconds=_MINUTE, is_event=True),
    _rule("foreign_memory", "Other program on an idle GPU", _GPU, _I, "foreign_memory > 1024", "A program outside this service holds {foreign_memory} MB of {gpu}.", "Stop it, or register it with POST /gpu/tasks.", resolved="{gpu} is free of other programs again", for_seconds=10 * _MINUTE, clear="foreign_memory < 512", clear_seconds=2 * _MINUTE),
    _rule("foreign_memory_blocks", "Other program blocks the queue", _GPU, _W, "foreign_memory > 1024 and queue_waiting > 0", "Trainings wait while a program outside this service holds {foreign_memory} MB of {gpu}.", "Stop it, or register it with POST /gpu/tasks.", resolved="{gpu} is free for trainings again", for_seconds=10 * _MINUTE, clear="foreign_memory < 512", clear_seconds=2 * _MINUTE),
    _rule("foreign_leak", "Other program's memory grows", _GPU, _I, "foreign_growth >= 10", "A program outside this service on {gpu} grows by at least {foreign_growth} % an hour.", "Check it for a memory leak.", resolved="The other program on {gpu} no longer grows", enabled=False),
    _rule("idle_while_leased", "GPUs reserved but idle", _TASK, _W, "gpu_utilization_max < 5", "{task} holds {gpus} GPUs but uses only {gpu_utilization_max} % of them.", "Read its log: it may be waiting for data.", resolved="{task} uses its GPUs again", for_seconds=20 * _MINUTE, clear="gpu_utilization_max > 20", clear_seconds=2 * _MINUTE),
    _rule("training_hung", "Training hangs", _TASK, _W, "hung_seconds > 0", "{task} seems to hang{at_step}: {hang}.", "Read the end of its log, then stop it with a checkpoint or wait.", resolved="{task} makes progress again", critical_when="hung_seconds >= 7200"),
    _rule("training_failed", "Training failed", _TASK, _W, "failed == 1", "{task} failed{at_step}: {cause}.", "{cause_remedy}", critical_when="failed_gravely == 1", is_event=True),
    _rule("training_finished", "Training finished", _TASK, _I, "completed == 1", "{task} finished: {steps} steps, loss {loss}.", "Its files are on its page under Files.", is_event=True, is_opt_in=True),
    _rule("retry_storm", "Retries without progress", _TASK, _C, "attempts_without_checkpoint >= 3 and running == 1", "{task} is at attempt {attempts}, and the last {attempts_without_checkpoint} saved no checkpoint.", "Stop it and read why its attempts failed.", resolved="{task} saves checkpoints again"),
    _rule("loss_nan", "Loss is NaN", _TASK, _C, "nan_losses == 1", "The loss of {task} is NaN{at_step}.", "Stop it, lower the learning rate and resume from an earlier checkpoint.", resolved="The loss of {task} is a number again"),
    _rule("loss_spike", "Loss jumped", _TASK, _W, "loss_excess > 8", "The loss of {task} jumped to {loss}.", "Lower the learning rate if it stays high.", resolved="The loss of {task} is back to normal", for_seconds=_MINUTE, clear="loss_excess < 4", clear_seconds=2 * _MINUTE, enabled=False),
    _rule("eta_slips", "Training takes longer", _TASK, _I, "eta_slip > 1.5 and eta_total > eta_total_first + 3600", "{task} will take {eta_slip} times as long as first estimated.", "Compare its time per step with before. Data loading, heat or another program may slow it down.", resolved="{task} is back to its estimated time", for_seconds=15 * _MINUTE, clear="eta_slip < 1.3"),
    _rule("no_checkpoint", "No recent checkpoint", _TASK, _W, "checkpoint_age > 21600 and running == 1", "{task} has saved no checkpoint for {checkpoint_age:seconds}; a crash would lose that work.", "Request one with POST /training/{task_id}/save.", resolved="{task} has saved a checkpoint"),
    _rule("queue_waits", "Training waits although GPUs are free", _TASK, _I, "queued_seconds > 14400 and gpus_free_for_it >= 1", "{task} has waited for {queued_seconds:seconds} although a GPU is free.", "Read the training's waiting_reason.", resolved="{task} no longer waits", for_seconds=10 * _MINUTE),
    _rule("queue_stuck", "Queue stuck", RuleScope.QUEUE, _W, "stuck_seconds > 7200", "{first} is first in the queue but has not started for {stuck_seconds:seconds}, although the GPUs it needs are free.", "Read its waiting_reason; GET /training?status=queued lists the queue.", resolved="The queue moves again"),
    _rule("queue_held", "Long hold", RuleScope.QUEUE, _W, "hold_seconds > 86400", "{hold}, for {hold_seconds:seconds} now.", "End the hold if it is no longer needed; GET /system/holds lists all holds.", resolved="The hold has ended"),
    _rule("disk_forecast", "Disk fills up", RuleScope.DISK, _W, "hours_to_full_1h < 12 and hours_to_full_6h < 12 and free_percent < 30", "{disk} will be full in {hours_to_full_1h:hours} at this pace; {free_gb} GB are free.", "Delete trainings or checkpoints that you no longer need.", resolved="{disk} no longer fills up", for_seconds=15 * _MINUTE, clear="hours_to_full_1h > 24", clear_seconds=15 * _MINUTE, critical_when="hours_to_full_1h < 2"),
    _rule("disk_low", "Disk nearly full", RuleScope.DISK, _C, "free_percent < 10 and free_gb < 50", "{disk} has only {free_gb} GB left ({free_percent} %); the next checkpoint may not fit.", "Delete trainings or checkpoints that you no longer need.", resolved="{disk} has enough space again", for_seconds=2 * _MINUTE, clear_seconds=5 * _MINUTE),
    _rule("database_away", "Database unreachable", RuleScope.SERVICE, _C, "database_away_seconds > 30", "{node} has not reached the database for {database_away_seconds:seconds}: {database_problem}", "Check the database. Running trainings continue, but no new training starts.", resolved="{node} reaches the database again", clear_seconds=60),
    _rule("restarted", "Service restarted unexpectedly", RuleScope.SERVICE, _W, "unclean_start_age < 600", "The service on {node} restarted after it had ended unexpectedly.", "Read its log to find out why. Running trainings were not affected.", critical_when="starts_15m >= 3", is_event=True),
    _rule("node_offline", "Machine offline", RuleScope.NODE, _C, "silent_seconds > 90", "{node} has been silent for {silent_seconds:seconds}.", "Check that the machine and its service are running.", resolved="{node} is online again"),
    _rule("quota_near", "Quota nearly used up", RuleScope.USER, _I, "quota_percent >= 90", "{user} has used {quota_percent} % of a quota.", "Wait, delete files, or ask an administrator for a larger quota.", resolved="{user} has quota left again", clear="quota_percent < 85"),
    _rule("quota_used", "Quota used up", RuleScope.USER, _W, "quota_percent >= 100", "{user} has used up a quota; new trainings of this user wait.", "Wait, delete files, or ask an administrator for a larger quota.", resolved="{user} has quota left again", clear="quota_percent < 85"),
    _rule("key_expires", "Key expires soon", RuleScope.KEY, _W, "days_left < 14 and unused_days < 30", "The key {key} of {user} expires in {days_left:days}.", "Replace it with POST /auth/keys/{key}/rotate.", clear="days_left >= 14", is_event=True),
    _rule("clock_off", "Clock off", RuleScope.SERVICE, _W, "clock_offset > 0.5", "The clock of {node} is wrong by {clock_offset} s.", "Start chrony or another NTP client.", resolved="The clock of {node} is correct again", for_seconds=5 * _MINUTE, clear="clock_offset < 0.1", clear_seconds=5 * _MINUTE),
    _rule("action_failed", "Action of a rule failed", RuleScope.ACTION, _W, "failed_age < 3600", "The action {action} for {about}, by the rule {rule_id}, failed: {why}", "Do it manually; GET /alerts/{alert_id} shows the alert.", is_event=True),
    _rule("machine_idle", "Machine idle", RuleScope.SERVICE, _I, "idle == 1", "{node} is idle: no training runs or waits.", "Switch it off if it costs money while idle.", for_seconds=30 * _MINUTE, enabled=False, is_event=True),
    _rule("machine_ends", "Idle machine ends soon", RuleScope.SERVICE, _W, "idle_end == 1", "{node} is idle, and WHEN_IDLE={idle_action} follows at {idle_ends_at}.", "To prevent it, hold the machine on the page, or with POST /system/idle/hold.", resolved="{node} is not about to end any more"),
    _rule("machine_end_failed", "Idle machine stays on", RuleScope.SERVICE, _C, "idle_end == 2", "{node} is idle but stays on: {idle_problem}", "Try again on the page, or with DELETE /system/idle/hold.", resolved="The problem that kept {node} on is over"),
    _rule("tracker_failing", "Tracker does not receive trainings", RuleScope.SERVICE, _W, "trackers_failing > 0", "{node} cannot send everything to {trackers}: {tracker_problem}", "Check the tracker's address and key in the service's environment, and restart the service after a change. What is missing is sent as soon as the tracker accepts it.", resolved="The trackers of {node} refuse nothing any more", for_seconds=_MINUTE),
    _rule("comfyui_gpus_unknown", "COMFYUI_GPUS names unknown GPUs", RuleScope.SERVICE, _W, "comfyui_gpus_unknown > 0", "{node} has no GPU that COMFYUI_GPUS calls {comfyui_gpus}, so samples and trainings may share one.", "Correct COMFYUI_GPUS: GET /gpu/status lists the index and UUID of each GPU. Then restart the service.", resolved="{node} has all GPUs that COMFYUI_GPUS names", for_seconds=_MINUTE),
    _rule("delivery_broken", "Alerts are not delivered", RuleScope.CHANNEL, _W, "failures >= 5 or oldest_unsent_seconds > 900 or put_aside > 0", "{channel} does not deliver: {last_error}.", "Check its address, then try it with POST /alerts/channels/{channel_id}/test. GET /alerts/deliveries lists what failed.", resolved="{channel} delivers again", clear="failures == 0 and put_aside == 0"),
)  # fmt: skip

BUILTIN_RULES: Mapping[str, AlertRule] = {rule.rule_id: rule for rule in _RULES}

_OF_GPU = frozenset(rule.rule_id for rule in _RULES if rule.scope is _GPU) - {"gpu_lost"}

#: Alerts that suppress other alerts with the same value of a label: (source rule, suppressed rules, label).
INHIBITIONS: tuple[tuple[str, frozenset[str], str], ...] = (
    ("node_offline", frozenset({*_OF_GPU, "gpu_lost", "disk_forecast", "disk_low", "clock_off"}), "node"),
    ("driver_unreadable", frozenset({*_OF_GPU, "gpu_lost"}), "node"),
    ("gpu_lost", _OF_GPU, "gpu_uuid"),
    ("gpu_unreadable", _OF_GPU - {"gpu_unreadable", "xid_fatal", "recovery_action"}, "gpu_uuid"),
    ("xid_fatal", frozenset({"ecc_uncorrected", "repair_pending"}), "gpu_uuid"),
    ("repair_failed", frozenset({"ecc_uncorrected", "repair_pending"}), "gpu_uuid"),
    ("foreign_memory_blocks", frozenset({"foreign_memory"}), "gpu_uuid"),
    ("training_failed", frozenset({"idle_while_leased", "training_hung", "loss_nan", "loss_spike", "eta_slips", "no_checkpoint"}), "task_id"),
    ("training_hung", frozenset({"idle_while_leased", "eta_slips", "no_checkpoint"}), "task_id"),
    ("database_away", frozenset({"queue_waits", "quota_near", "quota_used"}), "node"),
    ("quota_used", frozenset({"quota_near"}), "user"),
    ("disk_low", frozenset({"disk_forecast"}), "disk"),
)  # fmt: skip
