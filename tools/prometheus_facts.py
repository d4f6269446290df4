"""The expressions of the built-in rules' facts in PromQL, and the factors to Prometheus' base units."""
# One row per fact keeps the catalogue readable.
# ruff: noqa: E501

from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.alerts.alert_rule import RuleScope

_MIB, _GIB, _PERCENT, _HOUR, _DAY = 1024.0**2, 1024.0**3, 0.01, 3600.0, 86_400.0

#: Template functions that format a value in a message.
_RATIO, _SECONDS, _BYTES, _PLAIN = " | humanizePercentage", " | humanizeDuration", " | humanize1024", " | humanize"


@dataclass(frozen=True, slots=True)
class Scope:
    """The labels that identify a target of this scope, and how messages name it."""

    labels: Mapping[str, str]  #: with their values in tests
    subject: str

    @property
    def matched(self) -> tuple[str, ...]:
        """The labels that distinguish targets."""
        return (
            "instance",
            *(name for name in self.labels if name not in ("model_type", "channel", "action", "rule_id")),
        )


SCOPES: Mapping[RuleScope, Scope] = {
    RuleScope.GPU: Scope({"uuid": "GPU-1"}, "GPU {{ $labels.uuid }}"),
    RuleScope.TASK: Scope({"task_id": "t1", "model_type": "wan"}, "{{ $labels.task_id }}"),
    RuleScope.QUEUE: Scope({}, "The queue"),
    RuleScope.DISK: Scope({"disk": "/data", "node": "box"}, "{{ $labels.disk }} on {{ $labels.node }}"),
    RuleScope.SERVICE: Scope({}, "{{ $labels.instance }}"),
    RuleScope.NODE: Scope({"node": "other"}, "{{ $labels.node }}"),
    RuleScope.CHANNEL: Scope({"channel_id": "c1", "channel": "team"}, "The channel {{ $labels.channel }}"),
    RuleScope.KEY: Scope({"key_id": "k1", "user": "ann"}, "The key {{ $labels.key_id }} of {{ $labels.user }}"),
    RuleScope.ACTION: Scope(
        {"action_id": "a1", "action": "hold_gpu", "rule_id": "xid_fatal"},
        "{{ $labels.action }} of {{ $labels.rule_id }}",
    ),
    RuleScope.USER: Scope({"user": "ann"}, "{{ $labels.user }}"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact as a PromQL expression."""

    scope: RuleScope
    expression: str
    factor: float = 1.0  #: base units per unit of the service
    shown: str | None = None  #: format of its value in messages; None: a state, whose value is not shown
    is_present_only: bool = False  #: the series exists only while the fact is true
    recorded: str | None = None  #: the expression of the recording rule that is named `expression`
    inputs: Mapping[str, str] | None = None  #: for tests: the underlying series, as formulas of its value
    matched: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.matched:
            object.__setattr__(self, "matched", SCOPES[self.scope].matched)

    @property
    def series(self) -> Mapping[str, str]:
        """The input series of a test: `name` or `name{labels}`, with a formula of the fact's value `v`."""
        return self.inputs or {self.expression: "v"}


def _share(reason: str, span: str, most: float) -> Fact:
    raw = f"nvidia_smi_clocks_event_reasons_{reason}"
    return Fact(
        RuleScope.GPU, f"gpu:{raw}:avg{span}", _PERCENT, _RATIO, recorded=f"avg_over_time({raw}[{span}])",
        inputs={raw: f"float(v >= {most})"},
    )  # fmt: skip


_G, _T, _S, _D = RuleScope.GPU, RuleScope.TASK, RuleScope.SERVICE, RuleScope.DISK
_SMI, _OWN, _TASK = "nvidia_smi_", "diffusion_pipe_gpu_", "diffusion_pipe_task_"
_EXPECTED, _FIRST = f"{_TASK}expected_duration_seconds", f"{_TASK}first_expected_duration_seconds"


class _Facts(dict[str, Fact]):
    """Facts by the metric of a rule. A missing one names the table where it belongs."""

    def __missing__(self, metric: str) -> Fact:
        raise KeyError(f"add {metric} to FACTS in tools/prometheus_facts.py: its series and unit in Prometheus")


#: Each metric of a built-in rule, as Prometheus knows it.
FACTS: Mapping[str, Fact] = _Facts({
    "lost": Fact(_G, 'diffusion_pipe_gpu_status{status="lost"}', is_present_only=True),
    "reading_age": Fact(_G, f"{_OWN}reading_age_seconds", 1, _SECONDS),
    "xid_fatal": Fact(_G, f"{_OWN}fatal_xid", 1, _PLAIN),
    "xid_application_age": Fact(_G, f"{_OWN}application_xid_age_seconds", 1, _SECONDS),
    "recovery_action": Fact(_G, f"{_SMI}gpu_recovery_action", 1, _PLAIN),
    "ecc_uncorrected_new": Fact(_G, f"{_OWN}ecc_uncorrected_since_start", 1, _PLAIN),
    "repair_pending": Fact(
        _G, "gpu:nvidia_smi_repair_pending:max",
        recorded='max by (job, instance, uuid) ({__name__=~"nvidia_smi_(remapped_rows|retired_pages)_pending"})',
        inputs={f"{_SMI}remapped_rows_pending": "0", f"{_SMI}retired_pages_pending": "v"},
    ),
    "repair_failed": Fact(_G, f"{_SMI}remapped_rows_failure"),
    "temperature_gpu": Fact(_G, f"{_SMI}temperature_gpu", 1, _PLAIN),
    "temperature_slowdown": Fact(_G, f"{_OWN}slowdown_temperature_celsius"),
    "hw_thermal_percent": _share("hw_thermal_slowdown", "5m", 0.5),
    "sw_thermal_percent": _share("sw_thermal_slowdown", "30m", 0.8),
    "power_brake_percent": _share("hw_power_brake_slowdown", "5m", 0.5),
    "power_cap_percent": _share("sw_power_cap", "30m", 0.8),
    "power_limit": Fact(
        _G, f"({_SMI}enforced_power_limit_watts or {_SMI}power_limit_watts)", 1, _PLAIN,
        inputs={f"{_SMI}power_limit_watts": "v"},
    ),
    "power_limit_default": Fact(_G, f"{_SMI}power_default_limit_watts"),
    "power_limit_previous": Fact(_G, f"{_OWN}power_limit_previous_watts"),
    "fan_speed": Fact(_G, f"{_SMI}fan_speed_ratio", _PERCENT),
    "fan_has_turned": Fact(_G, f"{_OWN}fan_has_turned"),
    "utilization_gpu": Fact(_G, f"{_SMI}utilization_gpu_ratio", _PERCENT, _RATIO),
    "pcie_width": Fact(_G, f"{_SMI}pcie_link_width_current", 1, _PLAIN),
    "pcie_width_best": Fact(_G, f"{_OWN}pcie_best_lanes"),
    "pcie_generation": Fact(_G, f"{_SMI}pcie_link_gen_current", 1, _PLAIN),
    "pcie_generation_best": Fact(_G, f"{_OWN}pcie_best_generation"),
    "foreign_memory": Fact(_G, f"{_OWN}foreign_memory_bytes", _MIB, _BYTES),
    "foreign_growth": Fact(_G, f"{_OWN}foreign_memory_growth_ratio", _PERCENT, _RATIO),
    "queue_waiting": Fact(
        RuleScope.QUEUE, "max by (job) (diffusion_pipe_queue_tasks)", inputs={"diffusion_pipe_queue_tasks": "v"},
        matched=("job",),
    ),
    "source_failing": Fact(_S, "(1 - nvidia_smi_last_collect_success)", inputs={f"{_SMI}last_collect_success": "1 - v"}),
    "database_away_seconds": Fact(_S, "diffusion_pipe_database_away_seconds", 1, _SECONDS),
    "unclean_start_age": Fact(_S, "diffusion_pipe_unclean_start_age_seconds", 1, _SECONDS),
    "starts_15m": Fact(_S, "diffusion_pipe_recent_starts"),
    "clock_offset": Fact(_S, "diffusion_pipe_clock_offset_seconds", 1, _SECONDS),
    "idle": Fact(_S, "diffusion_pipe_machine_idle"),
    "idle_end": Fact(_S, "diffusion_pipe_machine_idle_end"),
    "trackers_failing": Fact(_S, "diffusion_pipe_trackers_failing"),
    "comfyui_gpus_unknown": Fact(_S, "diffusion_pipe_comfyui_gpus_unknown"),
    "failed_age": Fact(RuleScope.ACTION, "diffusion_pipe_alert_action_failed_age_seconds", 1, _SECONDS),
    "silent_seconds": Fact(RuleScope.NODE, "diffusion_pipe_node_silent_seconds", 1, _SECONDS),
    "free_percent": Fact(_D, "diffusion_pipe_disk_free_ratio", _PERCENT, _RATIO),
    "free_gb": Fact(_D, "diffusion_pipe_disk_free_bytes", _GIB, _BYTES),
    "hours_to_full_1h": Fact(_D, 'diffusion_pipe_disk_full_in_seconds{window="1h"}', _HOUR, _SECONDS),
    "hours_to_full_6h": Fact(_D, 'diffusion_pipe_disk_full_in_seconds{window="6h"}', _HOUR, _SECONDS),
    "running": Fact(_T, f"{_TASK}running"),
    "completed": Fact(_T, f"{_TASK}completed", is_present_only=True),
    "failed": Fact(_T, f"{_TASK}failed", is_present_only=True),
    "failed_gravely": Fact(_T, f"{_TASK}failed_gravely"),
    "hung_seconds": Fact(_T, f"{_TASK}hung_seconds", 1, _SECONDS),
    "nan_losses": Fact(_T, f"{_TASK}nan_losses"),
    "loss_excess": Fact(_T, f"{_TASK}loss_excess_mads", 1, _PLAIN),
    "eta_slip": Fact(_T, f"({_EXPECTED} / {_FIRST})", 1, _PLAIN, inputs={_EXPECTED: "v * 36000", _FIRST: "36000"}),
    "eta_total": Fact(_T, _EXPECTED),
    "eta_total_first": Fact(_T, _FIRST),
    "checkpoint_age": Fact(_T, f"{_TASK}checkpoint_age_seconds", 1, _SECONDS),
    "attempts_without_checkpoint": Fact(_T, f"{_TASK}attempts_without_checkpoint", 1, _PLAIN),
    "gpu_utilization_max": Fact(_T, f"{_TASK}gpu_utilization_ratio", _PERCENT, _RATIO),
    "queued_seconds": Fact(_T, f"{_TASK}queued_seconds", 1, _SECONDS),
    "gpus_free_for_it": Fact(_T, f"{_TASK}free_gpus"),
    "failures": Fact(RuleScope.CHANNEL, "diffusion_pipe_alert_channel_failures", 1, _PLAIN),
    "oldest_unsent_seconds": Fact(RuleScope.CHANNEL, "diffusion_pipe_alert_channel_oldest_unsent_seconds", 1, _SECONDS),
    "put_aside": Fact(RuleScope.CHANNEL, "diffusion_pipe_alert_channel_put_aside"),
    "stuck_seconds": Fact(RuleScope.QUEUE, "diffusion_pipe_queue_stuck_seconds", 1, _SECONDS),
    "hold_seconds": Fact(RuleScope.QUEUE, "diffusion_pipe_queue_oldest_hold_seconds", 1, _SECONDS),
    "days_left": Fact(RuleScope.KEY, "diffusion_pipe_key_expires_in_seconds", _DAY, _SECONDS),
    "unused_days": Fact(RuleScope.KEY, "diffusion_pipe_key_unused_seconds", _DAY, _SECONDS),
    "quota_percent": Fact(RuleScope.USER, "diffusion_pipe_user_quota_ratio", _PERCENT, _RATIO),
})  # fmt: skip
