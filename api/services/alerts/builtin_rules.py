"""The rules that are built in: what operators of GPU machines watch, with the bounds that keep it quiet.

A catalogue: the bounds come from NVIDIA's documents and from what exporters and their users run.
"""
# A catalogue is read by rows.
# ruff: noqa: E501

import re
from collections.abc import Mapping
from typing import Any

from api.models.alert_rule import AlertRule, Clause, Comparison, RuleScope
from api.models.event import Severity

_CLAUSE = re.compile(r"(\w+) (>=|<=|==|!=|>|<) (?:(-?[\d.]+)|(\w+)(?: ([+-]) ([\d.]+))?)")

_C, _W, _I = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_GPU, _TASK = RuleScope.GPU, RuleScope.TASK
_MINUTE, _HOUR = 60.0, 3600.0


def parse_clause(text: str) -> Clause:
    """The clause of `temperature_gpu >= temperature_slowdown - 5`. Raises ValueError."""
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no clause: it looks like `metric >= 5` or `metric >= other - 5`")
    metric, compare, number, of, sign, offset = match.groups()
    value = float(number or 0) if of is None else float(f"{sign or '+'}{offset or 0}")
    return Clause(metric, Comparison(compare), value, of)


def _rule(
    rule_id: str, title: str, scope: RuleScope, severity: Severity, when: str, summary: str, remedy: str, **more: Any
) -> AlertRule:
    """A rule. Clauses are joined by `and`, or all by `or`."""
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
    _rule("gpu_lost", "GPU lost", _GPU, _C, "lost == 1", "{gpu} is gone from the bus.", "Reboot the machine; check power and seating of the board if it repeats.", for_seconds=15, clear_seconds=60),
    _rule("driver_unreadable", "driver unreadable", RuleScope.SERVICE, _C, "source_failing == 1", "No GPU of {node} can be read: {source_problem}", "Look at `dmesg` and `nvidia-smi`; reload the driver or reboot.", for_seconds=60, clear_seconds=60),
    _rule("gpu_unreadable", "GPU unreadable", _GPU, _C, "reading_age > 120 and lost == 0", "{gpu} has not answered for {reading_age} s.", "Look for it in `nvidia-smi` and `dmesg`; reboot when it does not answer there either.", clear_seconds=60),
    _rule("xid_fatal", "fatal Xid", _GPU, _C, "xid_fatal > 0", "{gpu}: {health}.", "{health_action} It is not offered any more."),
    _rule("xid_application", "illegal access of a program", _GPU, _I, "xid_application_age < 600", "A program on {gpu} failed by a fault of its own: {xid_application}", "Run it under compute-sanitizer; suspect the GPU when it happens only here.", is_event=True),
    _rule("recovery_action", "driver asks for action", _GPU, _C, "recovery_action > 0", "{gpu}: {health}.", "{health_action}"),
    _rule("ecc_uncorrected", "uncorrectable memory errors", _GPU, _C, "ecc_uncorrected_new > 0", "{ecc_uncorrected_new} uncorrectable memory errors on {gpu}: results may be wrong.", "Reset it when it is idle; replace it if they return."),
    _rule("repair_pending", "memory repair waits", _GPU, _W, "repair_pending == 1", "A repair of the memory of {gpu} waits for a reset.", "Reset it when it is idle; work can go on until then."),
    _rule("repair_failed", "memory repair failed", _GPU, _C, "repair_failed == 1", "The memory of {gpu} could not be repaired.", "Run NVIDIA's field diagnostic and replace the board."),
    _rule("near_slowdown", "nearly too hot", _GPU, _W, "temperature_gpu >= temperature_slowdown - 5", "{gpu} is at {temperature_gpu} °C and slows down at {temperature_slowdown} °C.", "Check fans, dust and the air that it gets.", for_seconds=5 * _MINUTE, clear="temperature_gpu <= temperature_slowdown - 10", clear_seconds=5 * _MINUTE),
    _rule("thermal_throttle", "slowed down for heat", _GPU, _W, "hw_thermal_percent >= 50", "{gpu} was slowed down for heat in {hw_thermal_percent} % of 5 min, at {temperature_gpu} °C.", "Improve its cooling: fans, dust, air.", for_seconds=5 * _MINUTE, clear="hw_thermal_percent < 10", clear_seconds=10 * _MINUTE),
    _rule("thermal_throttle_soft", "slowed down by the driver for heat", _GPU, _I, "sw_thermal_percent >= 80", "The driver slowed {gpu} down for heat in {sw_thermal_percent} % of 30 min.", "Improve its cooling: fans, dust, air.", for_seconds=30 * _MINUTE, clear="sw_thermal_percent < 10", clear_seconds=10 * _MINUTE, enabled=False),
    _rule("power_brake", "power brake", _GPU, _W, "power_brake_percent >= 50", "A power brake slowed {gpu} down in {power_brake_percent} % of 5 min.", "Check the power supply, its cables and the rack.", for_seconds=5 * _MINUTE, clear="power_brake_percent < 10", clear_seconds=10 * _MINUTE),
    _rule("power_cap", "power limit lowered", _GPU, _I, "power_cap_percent >= 80 and power_limit < power_limit_default", "{gpu} runs against its limit of {power_limit} W, of {power_limit_default} W.", "Raise the limit with `nvidia-smi -pl` if that is not meant.", for_seconds=30 * _MINUTE, clear_seconds=10 * _MINUTE, enabled=False),
    _rule("fan_stands", "fan stands still", _GPU, _W, "fan_speed == 0 and temperature_gpu >= 70 and fan_has_turned == 1", "The fan of {gpu} reads 0 % at {temperature_gpu} °C.", "Check the fan; 0 % is normal only while it is cool.", for_seconds=3 * _MINUTE, clear="fan_speed > 0", clear_seconds=_MINUTE),
    _rule("pcie_width", "PCIe link is narrow", _GPU, _W, "utilization_gpu > 50 and pcie_width < pcie_width_best", "{gpu} runs at x{pcie_width} of x{pcie_width_best}.", "Reseat the board; check the riser.", for_seconds=5 * _MINUTE, clear="pcie_width >= pcie_width_best"),
    _rule("pcie_generation", "PCIe link is slow", _GPU, _W, "utilization_gpu > 50 and pcie_generation < pcie_generation_best", "{gpu} runs at PCIe generation {pcie_generation} of {pcie_generation_best}.", "Reseat the board; check riser and firmware.", for_seconds=5 * _MINUTE, clear="pcie_generation >= pcie_generation_best", enabled=False),
    _rule("power_limit_changed", "power limit changed", _GPU, _I, "power_limit != power_limit_previous", "The power limit of {gpu} was changed from {power_limit_previous} to {power_limit} W.", "`nvidia-smi -pl {power_limit_previous}` restores it.", for_seconds=_MINUTE, is_event=True),
    _rule("foreign_memory", "foreign program on an idle GPU", _GPU, _I, "foreign_memory > 1024", "{foreign_memory} MB of {gpu} are held by a program that is not of this service.", "End it, or register it with POST /gpu/tasks.", for_seconds=10 * _MINUTE, clear="foreign_memory < 512", clear_seconds=2 * _MINUTE),
    _rule("foreign_memory_blocks", "foreign program keeps the queue waiting", _GPU, _W, "foreign_memory > 1024 and queue_waiting > 0", "{foreign_memory} MB of {gpu} are held by a foreign program while trainings wait.", "End it, or register it with POST /gpu/tasks.", for_seconds=10 * _MINUTE, clear="foreign_memory < 512", clear_seconds=2 * _MINUTE),
    _rule("foreign_leak", "foreign program grows", _GPU, _I, "foreign_growth >= 10", "A foreign program on {gpu} grows by {foreign_growth} % an hour and more.", "Look whether it leaks memory.", enabled=False),
    _rule("idle_while_leased", "leaves its GPUs idle", _TASK, _W, "gpu_utilization_max < 5", "{task} does nothing on its {gpus} GPUs: {gpu_utilization_max} %.", "It may wait for data: look at its log.", for_seconds=20 * _MINUTE, clear="gpu_utilization_max > 20", clear_seconds=2 * _MINUTE),
    _rule("training_hung", "task hangs", _TASK, _W, "hung_seconds > 0", "{task}: {warning}", "Stop it with a checkpoint, or wait; its log has the last lines.", critical_when="hung_seconds >= 7200"),
    _rule("training_failed", "task failed", _TASK, _W, "failed == 1", "{task} failed: {cause}", "{cause_remedy}", critical_when="failed_gravely == 1", is_event=True),
    _rule("training_finished", "task finished", _TASK, _I, "completed == 1", "{task} has completed: {steps} steps, loss {loss}.", "Its files are under /training/{task_id}/artifacts.", is_event=True, is_opt_in=True),
    _rule("retry_storm", "no headway", _TASK, _C, "attempts_without_checkpoint >= 3 and running == 1", "{task} is at its attempt {attempts}, and {attempts_without_checkpoint} made no new checkpoint.", "Stop it and read the causes in its attempts."),
    _rule("loss_nan", "loss is no number", _TASK, _C, "nan_losses == 1", "The loss of {task} is NaN: {warning}", "Stop it, lower the learning rate, resume from a checkpoint of before."),
    _rule("loss_spike", "loss jumped", _TASK, _W, "loss_excess > 8", "The loss of {task} jumped to {loss}.", "Lower the learning rate if it stays.", for_seconds=_MINUTE, clear="loss_excess < 4", clear_seconds=2 * _MINUTE, enabled=False),
    _rule("loss_plateau", "loss no longer falls", _TASK, _I, "loss_flat_percent >= 10", "The smoothed loss of {task} has not fallen for {loss_flat_percent} % of its steps; it is at {loss}.", "It may be done: compare what it makes. The loss of diffusion models is noisy; an eval loss tells more.", enabled=False, is_event=True),
    _rule("log_grows", "log grows fast", _TASK, _I, "log_growth > 1", "{task} writes {log_growth} GiB an hour into its log: its oldest lines will go.", "Look what it prints; LOG_MAX_BYTES bounds it.", for_seconds=15 * _MINUTE, clear="log_growth < 0.5", clear_seconds=15 * _MINUTE),
    _rule("log_full", "log is full", _TASK, _I, "log_has_lost == 1", "The log of {task} has reached LOG_MAX_BYTES: its oldest lines are gone.", "Raise LOG_MAX_BYTES if they are needed.", is_event=True),
    _rule("eta_slips", "takes longer", _TASK, _I, "eta_slip > 1.5 and eta_total > eta_total_first + 3600", "{task} will take {eta_slip} times as long as it first looked.", "Compare its time a step with before: data, heat, another program.", for_seconds=15 * _MINUTE, clear="eta_slip < 1.3"),
    _rule("no_checkpoint", "no checkpoint for long", _TASK, _W, "checkpoint_age > 21600 and running == 1", "{task} has made no checkpoint for {checkpoint_age} s: so much work would be lost.", "POST /training/{task_id}/save asks it for one."),
    _rule("queue_waits", "waits although GPUs are free", _TASK, _I, "queued_seconds > 14400 and gpus_free_for_it >= 1", "{task} has waited {queued_seconds} s although a GPU is available.", "Its waiting_reason says for what.", for_seconds=10 * _MINUTE),
    _rule("queue_stuck", "nothing starts although GPUs are free", RuleScope.QUEUE, _W, "stuck_seconds > 7200", "{first} is first in line and has not started for {stuck_seconds} s, although the GPUs that it asks for are available.", "Its waiting_reason says for what; GET /training?status=queued lists the queue."),
    _rule("queue_held", "held for long", RuleScope.QUEUE, _W, "hold_seconds > 86400", "{hold}, for {hold_seconds} s now.", "End it if it is not needed any more; GET /system/holds lists all holds."),
    _rule("disk_forecast", "disk fills up", RuleScope.DISK, _W, "hours_to_full_1h < 12 and hours_to_full_6h < 12 and free_percent < 30", "{disk} is full in {hours_to_full_1h} h at this pace; {free_gb} GB are free.", "Delete trainings or checkpoints that are not needed.", for_seconds=15 * _MINUTE, clear="hours_to_full_1h > 24", clear_seconds=15 * _MINUTE, critical_when="hours_to_full_1h < 2"),
    _rule("disk_low", "disk is nearly full", RuleScope.DISK, _C, "free_percent < 10 and free_gb < 50", "{disk} has {free_gb} GB left ({free_percent} %): the next checkpoint may not fit.", "Delete trainings or checkpoints that are not needed.", for_seconds=2 * _MINUTE, clear_seconds=5 * _MINUTE),
    _rule("database_away", "database away", RuleScope.SERVICE, _C, "database_away_seconds > 30", "The database has not answered {node} for {database_away_seconds} s: {database_problem}", "Look at the database; trainings go on, and nothing new starts.", clear_seconds=60),
    _rule("restarted", "service restarted unexpectedly", RuleScope.SERVICE, _W, "unclean_start_age < 600", "The service on {node} came back without having been ended.", "Look into its log for why; trainings go on.", critical_when="starts_15m >= 3", is_event=True),
    _rule("node_offline", "machine silent", RuleScope.NODE, _C, "silent_seconds > 90", "{node} has given no sign of life for {silent_seconds} s.", "Look whether the machine and its service run."),
    _rule("quota_near", "quota nearly used up", RuleScope.USER, _I, "quota_percent >= 90", "{user} has used {quota_percent} % of a quota.", "Wait, delete files, or ask an administrator for more.", clear="quota_percent < 85"),
    _rule("quota_used", "quota used up", RuleScope.USER, _W, "quota_percent >= 100", "{user} has used up a quota: what they start waits.", "Wait, delete files, or ask an administrator for more.", clear="quota_percent < 85"),
    _rule("key_expires", "key expires", RuleScope.KEY, _W, "days_left < 14 and unused_days < 30", "The key {key} of {user} ends in {days_left} d.", "Make a new one: POST /auth/keys/{key}/rotate.", clear="days_left >= 14", is_event=True),
    _rule("clock_off", "clock off", RuleScope.SERVICE, _W, "clock_offset > 0.5", "The clock of {node} is off by {clock_offset} s.", "Start chrony or another NTP client.", for_seconds=5 * _MINUTE, clear="clock_offset < 0.1", clear_seconds=5 * _MINUTE),
    _rule("action_failed", "an action of a rule failed", RuleScope.ACTION, _W, "failed_age < 3600", "{action} for {about}, by the rule {rule_id}, failed: {why}", "Do by hand what is needed; GET /alerts/{alert_id} has the alert.", is_event=True),
    _rule("machine_idle", "machine idle", RuleScope.SERVICE, _I, "idle == 1", "Nothing runs or waits on {node}.", "Switch it off if it costs money while it does nothing.", for_seconds=30 * _MINUTE, enabled=False, is_event=True),
    _rule("certificate_ends", "certificate ends", RuleScope.SERVICE, _W, "certificate_days_left < 20", "The certificate by which {node} is reached ends in {certificate_days_left} d.", "Renew it, and have the proxy load it.", critical_when="certificate_days_left < 3"),
    _rule("delivery_broken", "alerts do not get through", RuleScope.CHANNEL, _W, "failures >= 5 or oldest_unsent_seconds > 900 or put_aside > 0", "{channel} fails: {last_error}", "Look at GET /alerts/deliveries; try the channel with POST /alerts/channels/{channel_id}/test.", clear="failures == 0 and put_aside == 0"),
)  # fmt: skip

BUILTIN_RULES: Mapping[str, AlertRule] = {rule.rule_id: rule for rule in _RULES}

_OF_GPU = frozenset(rule.rule_id for rule in _RULES if rule.scope is _GPU) - {"gpu_lost"}

#: Which alert makes which others pointless, where this label is the same: (the one, the others, the label).
INHIBITIONS: tuple[tuple[str, frozenset[str], str], ...] = (
    ("node_offline", frozenset({*_OF_GPU, "gpu_lost", "disk_forecast", "disk_low", "clock_off"}), "node"),
    ("driver_unreadable", frozenset({*_OF_GPU, "gpu_lost"}), "node"),
    ("gpu_lost", _OF_GPU, "gpu_uuid"),
    ("gpu_unreadable", _OF_GPU - {"gpu_unreadable", "xid_fatal", "recovery_action"}, "gpu_uuid"),
    ("xid_fatal", frozenset({"ecc_uncorrected", "repair_pending"}), "gpu_uuid"),
    ("repair_failed", frozenset({"ecc_uncorrected", "repair_pending"}), "gpu_uuid"),
    ("foreign_memory_blocks", frozenset({"foreign_memory"}), "gpu_uuid"),
    ("training_failed", frozenset({"idle_while_leased", "training_hung", "loss_nan", "loss_spike", "loss_plateau", "log_grows", "eta_slips", "no_checkpoint"}), "task_id"),
    ("training_hung", frozenset({"idle_while_leased", "eta_slips", "no_checkpoint"}), "task_id"),
    ("database_away", frozenset({"queue_waits", "quota_near", "quota_used"}), "node"),
    ("quota_used", frozenset({"quota_near"}), "user"),
    ("disk_low", frozenset({"disk_forecast"}), "disk"),
)  # fmt: skip
