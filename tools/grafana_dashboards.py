"""Write deploy/grafana/dashboards from one description: `python tools/grafana_dashboards.py`."""
# One row per panel keeps the catalogue readable.
# ruff: noqa: E501

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.grafana_panels import (
    BAD_GOOD,
    GOOD_BAD,
    GPU,
    HEAT,
    LOAD,
    NODE,
    Dashboard,
    Panel,
    Query,
    Row,
    bars,
    gauge,
    heatmap,
    line,
    stat,
    table,
    timeline,
    value_mappings,
)  # fmt: skip

DIRECTORY = ROOT / "deploy" / "grafana" / "dashboards"

_N = 'instance=~"$node"'
#: 0 while the service answers, and no value otherwise.
_NONE = f"0 * sum(diffusion_pipe_build_info{{{_N}}})"

_G = 'instance=~"$node", uuid=~"$gpu"'

#: Adds number and name of the GPU to its series.
_NAMED = " * on (instance, uuid) group_left (index, name) nvidia_smi_gpu_info"
_GPU_LEGEND = "{{instance}} GPU {{index}}"

_TO_GPU = (
    "This GPU",
    "/d/dp-gpu?var-datasource=${datasource}&var-node=${__data.fields.Machine}&var-gpu=${__data.fields.UUID}",
)
_TO_MACHINE = ("This machine", "/d/dp-machine?var-datasource=${datasource}&var-node=${__data.fields.Machine}")
_STATES = "available", "training", "preprocessing", "busy", "draining", "lost", "unknown"
_COLORS = "green", "blue", "purple", "orange", "yellow", "red", "dark-red"


def _named(metric: str, labels: str = _G) -> str:
    return f"{metric}{{{labels}}}{_NAMED}"


def _per_gpu(title: str, unit: str, metric: str, **more: object) -> Panel:
    return line(title, unit, Query(_named(metric), _GPU_LEGEND), **more)  # type: ignore[arg-type]


def _quantiles(metric: str, labels: str = _N, by: str = "", window: str = "$__rate_interval") -> tuple[Query, ...]:
    legend = f"{{{{{by}}}}} " if by else ""
    more = f", {by}" if by else ""
    return tuple(
        Query(
            f"histogram_quantile({share}, sum by (le{more}) (rate({metric}_bucket{{{labels}}}[{window}])))",
            f"{legend}{name}",
            has_exemplars=share == 0.99,
        )
        for share, name in ((0.5, "median"), (0.99, "99 %"))
    )


def _heat(metric: str, labels: str = _N) -> str:
    return f"sum by (le) (increase({metric}_bucket{{{labels}}}[$__rate_interval]))"


#: The statuses of GPUs as numbers, so that a timeline can colour them.
_STATUS = "max by (instance, index) ({})".format(
    " or ".join(
        f'({place} * diffusion_pipe_gpu_status{{status="{status}", {_G}}}{_NAMED})'
        for place, status in enumerate(_STATES, 1)
    )
)
_STATUS_MAPPINGS = value_mappings(
    *((place, status, color) for place, (status, color) in enumerate(zip(_STATES, _COLORS, strict=True), 1))
)

_ATTENTION = f'count(diffusion_pipe_gpu_health{{verdict!="healthy", {_N}}}) or {_NONE}'
_ACTIONS = value_mappings(
    (0, "none", "green"), (1, "reset", "red"), (2, "reboot", "red"), (3, "drain P2P", "orange"),
    (4, "drain and reset", "orange"), (5, "IMEX", "red"), (6, "bus reset", "red"), (7, "reboot all", "red"),
)  # fmt: skip
_OFF_ON = value_mappings((0, "off", "green"), (1, "on", "red"))

_MACHINE = Dashboard(
    "dp-machine",
    "Diffusion-Pipe: machine",
    "One machine: its GPUs at a glance, processors, memory, disks.",
    (
        Row("At a glance", (
            stat("GPUs", "none", f"sum(diffusion_pipe_gpus{{{_N}}})"),
            stat("Free", "none", f"sum(diffusion_pipe_gpu_available{{{_N}}})", steps=BAD_GOOD),
            stat("Need attention", "none", _ATTENTION, steps=GOOD_BAD),
            stat("Trainings", "none", f'sum(diffusion_pipe_trainings{{status="running", {_N}}})', steps=(("blue", None),)),
            stat("Waiting", "none", f"sum(diffusion_pipe_queue_tasks{{{_N}}})", steps=(("green", None), ("orange", 1))),
            stat("Alerts", "none", f'sum(diffusion_pipe_alerts{{state="firing", {_N}}}) or {_NONE}', steps=GOOD_BAD),
            stat("Power", "watt", f"sum(nvidia_smi_power_draw_watts{{{_N}}})", steps=(("purple", None),)),
            stat("Hottest", "celsius", f"max(nvidia_smi_temperature_gpu{{{_N}}})", steps=HEAT),
        )),
        Row("GPUs", (
            table("GPUs", (
                (f"nvidia_smi_gpu_info{{{_N}}}", "Known", "none"),
                (_named("nvidia_smi_utilization_gpu_ratio", _N), "Use", "percentunit"),
                (_named("nvidia_smi_memory_used_bytes", _N), "Memory", "bytes"),
                (_named("nvidia_smi_temperature_gpu", _N), "Temperature", "celsius"),
                (_named("nvidia_smi_power_draw_watts", _N), "Power", "watt"),
                (_named("diffusion_pipe_gpu_available", _N), "Free", "bool_yes_no"),
            ), {"instance": "Machine", "index": "GPU", "name": "Board", "uuid": "UUID"}, links={"UUID": _TO_GPU}),
            timeline("Status", Query(_STATUS, _GPU_LEGEND), mappings=_STATUS_MAPPINGS),
            _per_gpu("Use", "percentunit", "nvidia_smi_utilization_gpu_ratio", minimum=0, maximum=1),
            _per_gpu("Memory in use", "bytes", "nvidia_smi_memory_used_bytes", minimum=0),
            _per_gpu("Temperature", "celsius", "nvidia_smi_temperature_gpu"),
            _per_gpu("Power", "watt", "nvidia_smi_power_draw_watts", stack=True, minimum=0),
        )),
        Row("The machine", (
            line("Processors", "percentunit", Query(f"diffusion_pipe_host_cpu_ratio{{{_N}}}", "{{instance}}"), minimum=0, maximum=1, width=8),
            line("Load per processor", "none", Query(f"diffusion_pipe_host_load1{{{_N}}} / diffusion_pipe_host_cpus", "{{instance}}"), minimum=0, width=8),
            line("Memory", "bytes",
                 Query(f"diffusion_pipe_host_memory_total_bytes{{{_N}}} - diffusion_pipe_host_memory_available_bytes", "{{instance}} in use"),
                 Query(f"diffusion_pipe_host_memory_total_bytes{{{_N}}}", "{{instance}} total"), minimum=0, width=8),
            line("Free disk", "bytes", Query(f"diffusion_pipe_disk_free_bytes{{{_N}}}", "{{instance}} {{disk}}"), minimum=0),
            bars("Free share of each disk", "percentunit", f"diffusion_pipe_disk_free_ratio{{{_N}}}", "{{instance}} {{disk}}",
                 minimum=0, maximum=1, steps=(("red", None), ("orange", 0.1), ("green", 0.3))),
        )),
    ),
    (NODE, GPU),
)  # fmt: skip

_REASONS = (
    "hw_thermal_slowdown",
    "sw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "sw_power_cap",
    "hw_slowdown",
    "gpu_idle",
)

_GPU_BOARD = Dashboard(
    "dp-gpu",
    "Diffusion-Pipe: GPU",
    "One or several GPUs: use, health, tasks and processes.",
    (
        Row("Now", (
            stat("Status", "none", _STATUS, _GPU_LEGEND, mappings=_STATUS_MAPPINGS, graph="none", width=4),
            stat("Recovery action (driver)", "none", _named("nvidia_smi_gpu_recovery_action"), _GPU_LEGEND, mappings=_ACTIONS, graph="none", width=4),
            stat("Fatal Xid", "none", _named("diffusion_pipe_gpu_fatal_xid"), _GPU_LEGEND, steps=GOOD_BAD, graph="none", width=4),
            stat("P-state", "none", _named("nvidia_smi_pstate"), _GPU_LEGEND, graph="none", width=4, steps=(("blue", None),)),
            stat("Uncorrectable memory errors", "none", _named("nvidia_smi_ecc_errors_uncorrected_volatile_total"), _GPU_LEGEND, steps=GOOD_BAD, graph="none", width=4),
            stat("Energy in 24 h", "kwatth", f"increase(nvidia_smi_energy_joules_total{{{_G}}}[24h]) / 3.6e6{_NAMED}", _GPU_LEGEND, graph="none", width=4, steps=(("purple", None),), decimals=2),
            gauge("Use", "percentunit", _named("nvidia_smi_utilization_gpu_ratio"), _GPU_LEGEND, minimum=0, maximum=1, steps=LOAD),
            gauge("Memory", "percentunit", f"nvidia_smi_memory_used_bytes{{{_G}}} / nvidia_smi_memory_total_bytes{_NAMED}", _GPU_LEGEND, minimum=0, maximum=1, steps=LOAD),
            gauge("Power / limit", "percentunit", f"nvidia_smi_power_draw_watts{{{_G}}} / nvidia_smi_enforced_power_limit_watts{_NAMED}", _GPU_LEGEND, minimum=0, maximum=1, steps=LOAD),
            gauge("Temperature", "celsius", _named("nvidia_smi_temperature_gpu"), _GPU_LEGEND, minimum=0, maximum=100, steps=HEAT),
            gauge("Fan", "percentunit", _named("nvidia_smi_fan_speed_ratio"), _GPU_LEGEND, minimum=0, maximum=1, steps=(("blue", None),)),
            gauge("SM clock / maximum", "percentunit", f"nvidia_smi_clocks_current_sm_clock_hz{{{_G}}} / nvidia_smi_clocks_max_sm_clock_hz{_NAMED}", _GPU_LEGEND, minimum=0, maximum=1, steps=(("blue", None),)),
        )),
        Row("Over time", (
            line("Use", "percentunit", Query(_named("nvidia_smi_utilization_gpu_ratio"), _GPU_LEGEND + " kernels"),
                 Query(_named("nvidia_smi_utilization_memory_ratio"), _GPU_LEGEND + " memory bus"), minimum=0, maximum=1),
            line("Memory", "bytes", Query(_named("nvidia_smi_memory_used_bytes"), _GPU_LEGEND + " in use"),
                 Query(_named("nvidia_smi_memory_total_bytes"), _GPU_LEGEND + " total"), minimum=0),
            line("Temperature", "celsius", Query(_named("nvidia_smi_temperature_gpu"), _GPU_LEGEND),
                 Query(_named("nvidia_smi_temperature_memory"), _GPU_LEGEND + " memory"),
                 Query(_named("diffusion_pipe_gpu_slowdown_temperature_celsius"), _GPU_LEGEND + " slowdown")),
            line("Power", "watt", Query(_named("nvidia_smi_power_draw_watts"), _GPU_LEGEND),
                 Query(_named("nvidia_smi_enforced_power_limit_watts"), _GPU_LEGEND + " limit"), minimum=0),
            line("Clocks", "hertz", Query(_named("nvidia_smi_clocks_current_sm_clock_hz"), _GPU_LEGEND + " SM"),
                 Query(_named("nvidia_smi_clocks_current_memory_clock_hz"), _GPU_LEGEND + " memory"), minimum=0),
            line("PCIe", "Bps", Query(_named("nvidia_smi_pcie_throughput_rx_bytes_per_second"), _GPU_LEGEND + " received"),
                 Query(_named("nvidia_smi_pcie_throughput_tx_bytes_per_second"), _GPU_LEGEND + " sent"), minimum=0),
        )),
        Row("Throttling", (
            timeline("Status", Query(_STATUS, _GPU_LEGEND), mappings=_STATUS_MAPPINGS, height=5),
            timeline("Reasons for lower clocks", *(
                Query(_named(f"nvidia_smi_clocks_event_reasons_{reason}"), f"{_GPU_LEGEND} {reason}") for reason in _REASONS
            ), mappings=_OFF_ON, height=9),
            timeline("P-state", Query(_named("nvidia_smi_pstate"), _GPU_LEGEND), height=5),
        )),
        Row("Faults", (
            line("Xid errors", "none", Query(f"sum by (instance, uuid, xid) (nvidia_smi_xid_errors_total{{{_G}}})", "{{instance}} {{uuid}} Xid {{xid}}"), width=8, decimals=0, minimum=0),
            line("Corrected memory errors", "none", Query(_named("nvidia_smi_ecc_errors_corrected_volatile_total"), _GPU_LEGEND), width=8, minimum=0),
            table("Health", ((f"diffusion_pipe_gpu_health{{{_G}}}{_NAMED}", "Known", "none"),),
                  {"instance": "Machine", "index": "GPU", "verdict": "Verdict"}, width=8),
        )),
        Row("Tasks and processes", (
            table("Tasks", ((f"diffusion_pipe_gpu_task{{{_G}}}{_NAMED}", "Holds", "none"),),
                  {"instance": "Machine", "index": "GPU", "task_id": "Task", "task_type": "Type"}, width=12),
            line("Memory of foreign programs", "bytes", Query(_named("diffusion_pipe_gpu_foreign_memory_bytes"), _GPU_LEGEND), minimum=0),
            line("Processes", "none", Query(_named("nvidia_smi_compute_apps"), _GPU_LEGEND), minimum=0, decimals=0, width=24),
        )),
    ),
    (NODE, GPU),
)  # fmt: skip

_T = "{{task_id}}"

_TASKS = Dashboard(
    "dp-tasks",
    "Diffusion-Pipe: tasks and queue",
    "Running trainings with speed and remaining time; queued tasks with waiting time.",
    (
        Row("At a glance", (
            stat("Running", "none", f'sum(diffusion_pipe_trainings{{status="running", {_N}}})', steps=(("blue", None),), width=4),
            stat("Waiting", "none", f"sum(diffusion_pipe_queue_tasks{{{_N}}})", steps=(("green", None), ("orange", 1)), width=4),
            stat("Longest wait", "s", f"max(diffusion_pipe_queue_oldest_seconds{{{_N}}})", steps=(("green", None), ("orange", 3600), ("red", 14400)), width=4),
            stat("Available GPUs", "none", f"sum(diffusion_pipe_queue_free_gpus{{{_N}}})", steps=BAD_GOOD, width=4),
            stat("Failed today", "none", f"count(diffusion_pipe_task_failed{{{_N}}}) or {_NONE}", steps=GOOD_BAD, width=4),
            stat("Hung", "none", f"count(diffusion_pipe_task_hung_seconds{{{_N}}} > 0) or {_NONE}", steps=GOOD_BAD, width=4),
        )),
        Row("Running", (
            table("Trainings", (
                (f"diffusion_pipe_task_running{{{_N}}}", "Running", "none"),
                (f"diffusion_pipe_task_progress_ratio{{{_N}}}", "Done", "percentunit"),
                (f"diffusion_pipe_task_eta_seconds{{{_N}}}", "Time left", "s"),
                (f"diffusion_pipe_task_loss{{{_N}}}", "Loss", "none"),
                (f"diffusion_pipe_task_step_seconds{{{_N}}}", "Step", "s"),
                (f"diffusion_pipe_task_checkpoint_age_seconds{{{_N}}}", "Checkpoint age", "s"),
            ), {"instance": "Machine", "task_id": "Task", "model_type": "Model"}),
            line("Loss", "none", Query(f"diffusion_pipe_task_loss{{{_N}}}", _T)),
            bars("Done", "percentunit", f"diffusion_pipe_task_progress_ratio{{{_N}}}", _T, minimum=0, maximum=1, steps=(("blue", None), ("green", 0.9))),
            line("Time per step", "s", Query(f"diffusion_pipe_task_step_seconds{{{_N}}}", _T), minimum=0, width=8),
            line("Time left", "s", Query(f"diffusion_pipe_task_eta_seconds{{{_N}}}", _T), minimum=0, width=8),
            line("Age of the latest checkpoint", "s", Query(f"diffusion_pipe_task_checkpoint_age_seconds{{{_N}}}", _T), minimum=0, width=8),
            line("Use of the busiest GPU", "percentunit", Query(f"diffusion_pipe_task_gpu_utilization_ratio{{{_N}}}", _T), minimum=0, maximum=1, width=8),
            line("Attempts since the latest checkpoint", "none", Query(f"diffusion_pipe_task_attempts_without_checkpoint{{{_N}}}", _T), minimum=0, decimals=0, width=8),
            line("NaN losses", "none", Query(f"diffusion_pipe_task_nan_losses{{{_N}}}", _T), minimum=0, maximum=1, decimals=0, width=8),
        )),
        Row("Queue", (
            line("Trainings by status", "none", Query(f"sum by (status) (diffusion_pipe_trainings{{{_N}}})", "{{status}}"), stack=True, minimum=0, decimals=0),
            line("Waiting", "none", Query(f"sum(diffusion_pipe_queue_tasks{{{_N}}})", "tasks"), Query(f"sum(diffusion_pipe_queue_free_gpus{{{_N}}})", "Available GPUs"), minimum=0, decimals=0),
            table("Queued tasks", (
                (f"diffusion_pipe_task_queued_seconds{{{_N}}}", "Waiting", "s"),
                (f"diffusion_pipe_task_free_gpus{{{_N}}}", "Suitable free GPUs", "none"),
            ), {"instance": "Machine", "task_id": "Task", "model_type": "Model"}, width=12),
            heatmap("Waiting time of started tasks", "s", _heat("diffusion_pipe_queue_wait_seconds")),
            line("Waiting time, last hour", "s", *_quantiles("diffusion_pipe_queue_wait_seconds", window="1h"), minimum=0, width=8),
            line("From request to running, last hour", "s", *_quantiles("diffusion_pipe_start_to_running_seconds", window="1h"), minimum=0, width=8),
            line("From GPU claim to running, last hour", "s", *_quantiles("diffusion_pipe_attempt_start_duration_seconds", window="1h"), minimum=0, width=8),
        )),
    ),
    span="now-6h",
)  # fmt: skip

_HTTP = "diffusion_pipe_http_request"
_SERVICE = Dashboard(
    "dp-service",
    "Diffusion-Pipe: service and database",
    "Requests, streams, transactions, loops and memory of the service.",
    (
        Row("At a glance", (
            stat("Up", "bool_yes_no", f"min(up{{{_N}}} * on (instance) diffusion_pipe_build_info)", steps=BAD_GOOD, graph="none"),
            stat("Requests", "reqps", f"sum(rate({_HTTP}s_total{{{_N}}}[$__rate_interval]))"),
            stat("Failures", "percentunit", f'(sum(rate({_HTTP}s_total{{status=~"5..", {_N}}}[$__rate_interval])) or {_NONE}) / sum(rate({_HTTP}s_total{{{_N}}}[$__rate_interval]))', steps=(("green", None), ("red", 0.01)), decimals=1),
            stat("Database unreachable", "s", f"max(diffusion_pipe_database_away_seconds{{{_N}}})", steps=(("green", None), ("red", 1))),
            stat("Streams", "none", f"sum(diffusion_pipe_stream_subscribers{{{_N}}})", steps=(("blue", None),)),
            stat("Memory", "bytes", f"max(process_resident_memory_bytes{{{_N}}})"),
            stat("Up for", "s", f"min(time() - process_start_time_seconds{{{_N}}})", graph="none"),
            stat("Starts in 15 min", "none", f"max(diffusion_pipe_recent_starts{{{_N}}})", steps=(("green", None), ("orange", 2), ("red", 3)), graph="none"),
        )),
        Row("Requests", (
            line("Requests by route", "reqps", Query(f"topk(12, sum by (route) (rate({_HTTP}s_total{{{_N}}}[$__rate_interval])))", "{{route}}"), stack=True, minimum=0),
            line("By status", "reqps", Query(f"sum by (status) (rate({_HTTP}s_total{{{_N}}}[$__rate_interval]))", "{{status}}"), stack=True, minimum=0),
            line("Duration", "s", *_quantiles(f"{_HTTP}_duration_seconds"), minimum=0),
            heatmap("Distribution of durations", "s", _heat(f"{_HTTP}_duration_seconds")),
            bars("Slowest routes (99 %)", "s", f"topk(10, histogram_quantile(0.99, sum by (le, route) (rate({_HTTP}_duration_seconds_bucket{{{_N}}}[$__range]))))", "{{route}}", width=24, steps=(("green", None), ("orange", 0.5), ("red", 2))),
        )),
        Row("Database", (
            line("Transactions", "ops", Query(f"sum by (mode) (rate(diffusion_pipe_database_transaction_duration_seconds_count{{{_N}}}[$__rate_interval]))", "{{mode}}"), minimum=0, width=8),
            line("Duration", "s", *_quantiles("diffusion_pipe_database_transaction_duration_seconds", by="mode"), minimum=0, width=8),
            heatmap("Distribution of durations", "s", _heat("diffusion_pipe_database_transaction_duration_seconds"), width=8),
        )),
        Row("Loops", (
            line("Duration of a round (99 %)", "s", Query(f"histogram_quantile(0.99, sum by (le, loop) (rate(diffusion_pipe_loop_round_duration_seconds_bucket{{{_N}}}[$__rate_interval])))", "{{loop}}"), minimum=0),
            line("Share of time in rounds", "percentunit", Query(f"topk(10, sum by (loop) (rate(diffusion_pipe_loop_round_duration_seconds_sum{{{_N}}}[$__rate_interval])))", "{{loop}}"), minimum=0),
        )),
        Row("Streams and process", (
            line("Messages", "ops", Query(f"sum by (topic) (rate(diffusion_pipe_stream_messages_total{{{_N}}}[$__rate_interval]))", "{{topic}}"), minimum=0, width=8),
            line("Subscribers", "none", Query(f"diffusion_pipe_stream_subscribers{{{_N}}}", "{{instance}}"), Query(f"sum by (instance) (rate(diffusion_pipe_stream_dropped_total{{{_N}}}[$__rate_interval]))", "{{instance}} dropped per second"), minimum=0, width=8),
            line("GPU sweeps", "s", Query(f"nvidia_smi_last_collect_duration_seconds{{{_N}}}", "{{instance}}"), minimum=0, width=8),
            line("Processor", "percentunit", Query(f"rate(process_cpu_seconds_total{{{_N}}}[$__rate_interval]) * on (instance) group_left () diffusion_pipe_build_info", "{{instance}}"), minimum=0, width=8),
            line("Memory", "bytes", Query(f"process_resident_memory_bytes{{{_N}}}", "{{instance}}"), minimum=0, width=8),
            line("Open files", "none", Query(f"process_open_fds{{{_N}}}", "{{instance}}"), minimum=0, width=8),
        )),
    ),
)  # fmt: skip

_ALERT_COLORS = {"critical": "red", "warning": "orange", "info": "blue"}
_ALERTS = Dashboard(
    "dp-alerts",
    "Diffusion-Pipe: alerts",
    "Alerts of the service's own rules, and the delivery of notifications.",
    (
        Row("Now", (
            *(
                stat(f"Firing: {severity}", "none", f'sum(diffusion_pipe_alerts{{state="firing", severity="{severity}", {_N}}}) or {_NONE}',
                     steps=(("green", None), (color, 1)), width=4)
                for severity, color in _ALERT_COLORS.items()
            ),
            stat("Pending", "none", f'sum(diffusion_pipe_alerts{{state="pending", {_N}}}) or {_NONE}', width=4),
            stat("Acknowledged or silenced", "none", f'sum(diffusion_pipe_alerts{{state=~"acknowledged|silenced", {_N}}}) or {_NONE}', width=4),
            stat("Oldest unsent notification", "s", f"max(diffusion_pipe_alert_channel_oldest_unsent_seconds{{{_N}}})", steps=(("green", None), ("orange", 60), ("red", 900)), width=4),
        )),
        Row("Alerts", (
            table("Open alerts", ((f"diffusion_pipe_alerts{{{_N}}}", "Alerts", "none"),),
                  {"instance": "Machine", "rule": "Rule", "severity": "Severity", "state": "State"}),
            line("Firing by rule", "none", Query(f'sum by (rule) (diffusion_pipe_alerts{{state="firing", {_N}}})', "{{rule}}"), stack=True, minimum=0, decimals=0),
            line("By state", "none", Query(f"sum by (state) (diffusion_pipe_alerts{{{_N}}})", "{{state}}"), stack=True, minimum=0, decimals=0),
        )),
        Row("Delivery", (
            line("Delivery delay, last hour", "s", *_quantiles("diffusion_pipe_alert_delivery_lag_seconds", by="channel_kind", window="1h"), minimum=0),
            heatmap("Distribution of delivery delays", "s", _heat("diffusion_pipe_alert_delivery_lag_seconds")),
            line("Delivered, last hour", "none", Query(f"sum by (channel_kind) (increase(diffusion_pipe_alert_delivery_lag_seconds_count{{{_N}}}[1h]))", "{{channel_kind}}"), minimum=0, width=8),
            line("Consecutive failures", "none", Query(f"diffusion_pipe_alert_channel_failures{{{_N}}}", "{{channel}}"), minimum=0, decimals=0, width=8),
            line("Oldest unsent notification", "s", Query(f"diffusion_pipe_alert_channel_oldest_unsent_seconds{{{_N}}}", "{{channel}}"), minimum=0, width=8),
        )),
        Row("Facts of rules", (
            line("Time until a disk is full", "s", Query(f"diffusion_pipe_disk_full_in_seconds{{{_N}}} < +Inf", "{{instance}} {{disk}} {{window}}"), width=8,
                 text="At the rates of the last hour and the last six hours; empty if unknown, or if the disk is not filling up."),
            line("Offset from the database's clock", "s", Query(f"diffusion_pipe_clock_offset_seconds{{{_N}}}", "{{instance}}"), width=8, text="Empty with SQLite, which has no clock of its own."),
            line("Age of readings", "s", Query(f"max by (instance) (diffusion_pipe_gpu_reading_age_seconds{{{_N}}})", "{{instance}}"), width=8, minimum=0),
        )),
    ),
    span="now-6h",
)  # fmt: skip

_FLEET = Dashboard(
    "dp-fleet",
    "Diffusion-Pipe: fleet",
    "All machines side by side.",
    (
        Row("Totals", (
            stat("Machines up", "none", f"sum(up{{{_N}}} * on (instance) diffusion_pipe_build_info)", width=4),
            stat("GPUs", "none", f"sum(diffusion_pipe_gpus{{{_N}}})", width=4),
            stat("Free", "none", f"sum(diffusion_pipe_gpu_available{{{_N}}})", steps=BAD_GOOD, width=4),
            stat("Need attention", "none", _ATTENTION, steps=GOOD_BAD, width=4),
            stat("Use", "percentunit", f"avg(nvidia_smi_utilization_gpu_ratio{{{_N}}})", width=4),
            stat("Power", "watt", f"sum(nvidia_smi_power_draw_watts{{{_N}}})", steps=(("purple", None),), width=4),
        )),
        Row("Machines", (
            table("Machines", (
                (f"sum by (instance) (diffusion_pipe_gpus{{{_N}}})", "GPUs", "none"),
                (f"sum by (instance) (diffusion_pipe_gpu_available{{{_N}}})", "Free", "none"),
                (f"avg by (instance) (nvidia_smi_utilization_gpu_ratio{{{_N}}})", "Use", "percentunit"),
                (f"max by (instance) (nvidia_smi_temperature_gpu{{{_N}}})", "Hottest", "celsius"),
                (f"sum by (instance) (nvidia_smi_power_draw_watts{{{_N}}})", "Power", "watt"),
                (f"min by (instance) (diffusion_pipe_disk_free_ratio{{{_N}}})", "Free disk", "percentunit"),
            ), {"instance": "Machine"}, links={"Machine": _TO_MACHINE}),
            table("Boards and versions", ((f"count by (instance, name, driver_version, source) (nvidia_smi_gpu_info{{{_N}}})", "GPUs", "none"),),
                  {"instance": "Machine", "name": "Board", "driver_version": "Driver", "source": "Readings"}, width=12),
            table("The service", (
                (f"diffusion_pipe_build_info{{{_N}}}", "Known", "none"),
                (f"sum by (instance) (time() - process_start_time_seconds{{{_N}}})", "Up for", "s"),
            ), {"instance": "Machine", "version": "Version"}, width=12),
        )),
        Row("Over time", (
            line("Use of the GPUs", "percentunit", Query(f"avg by (instance) (nvidia_smi_utilization_gpu_ratio{{{_N}}})", "{{instance}}"), minimum=0, maximum=1),
            line("Free GPUs", "none", Query(f"sum by (instance) (diffusion_pipe_gpu_available{{{_N}}})", "{{instance}}"), stack=True, minimum=0, decimals=0),
            line("Power", "watt", Query(f"sum by (instance) (nvidia_smi_power_draw_watts{{{_N}}})", "{{instance}}"), stack=True, minimum=0),
            line("Hottest GPU", "celsius", Query(f"max by (instance) (nvidia_smi_temperature_gpu{{{_N}}})", "{{instance}}")),
            line("Energy per hour", "kwatth", Query(f"sum by (instance) (increase(nvidia_smi_energy_joules_total{{{_N}}}[1h])) / 3.6e6", "{{instance}}"), minimum=0),
            line("Silent machines", "s", Query("max by (node) (diffusion_pipe_node_silent_seconds)", "{{node}}"), minimum=0, text="Time since the last sign of life of another machine on the same database; empty if there is only one machine."),
        )),
    ),
    span="now-24h",
)  # fmt: skip

DASHBOARDS = (_MACHINE, _GPU_BOARD, _TASKS, _SERVICE, _ALERTS, _FLEET)


def render_all() -> dict[str, str]:
    """Return the content of every file by name."""
    return {
        f"{board.uid.removeprefix('dp-')}.json": json.dumps(board.as_json(), indent=1, ensure_ascii=False) + "\n"
        for board in DASHBOARDS
    }


def main() -> None:
    """Write all dashboards."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, text in render_all().items():
        (DIRECTORY / name).write_text(text)


if __name__ == "__main__":
    main()
