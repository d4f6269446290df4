import os
import re
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.openmetrics import parser

from api.domain.machines.reading import Clocks, ECCErrors, GPUCondition, MemoryRepair, MIGSlice
from api.gpus.health.xid_history import XidCount
from api.gpus.metrics.exposition import CollectStats, render_gpu_metrics
from tests.unit.builders import (
    MONOTONIC,
    identity,
    judged,
    lost,
    process,
    reading,
    snapshot,
    task,
    uuid_of,
    vitals,
)
from tests.unit.gpus.test_views import FULL

#: The metrics that the dashboards 14574 and 25547 query, for one fully known GPU.
SMI = [
    "gpu_info",
    "index",
    "utilization_gpu_ratio",
    "utilization_memory_ratio",
    "utilization_encoder_ratio",
    "utilization_decoder_ratio",
    "memory_total_bytes",
    "memory_used_bytes",
    "temperature_gpu",
    "fan_speed_ratio",
    "power_draw_watts",
    "power_limit_watts",
    "enforced_power_limit_watts",
    "power_default_limit_watts",
    "energy_joules_total",
    "clocks_current_graphics_clock_hz",
    "clocks_current_sm_clock_hz",
    "clocks_current_memory_clock_hz",
    "clocks_current_video_clock_hz",
    "clocks_max_graphics_clock_hz",
    "clocks_max_memory_clock_hz",
    "pstate",
    "compute_mode",
    "clocks_event_reasons_gpu_idle",
    "clocks_event_reasons_sw_power_cap",
    "clocks_event_reasons_hw_thermal_slowdown",
    "clocks_event_reasons_sw_thermal_slowdown",
    "clocks_event_reasons_hw_power_brake_slowdown",
    "clocks_event_reasons_sync_boost",
    "clocks_event_reasons_applications_clocks_setting",
    "ecc_errors_uncorrected_volatile_total",
    "ecc_errors_uncorrected_aggregate_total",
    "remapped_rows_failure",
    "remapped_rows_pending",
    "retired_pages_pending",
    "xid_errors_total",
    "xid_last_timestamp_seconds",
    "compute_app_info",
    "compute_app_used_memory_bytes",
    "gpu_recovery_action",
    "fabric_state",
    "pcie_throughput_rx_bytes_per_second",
    "pcie_throughput_tx_bytes_per_second",
    "compute_apps",
    "compute_apps_last_collect_success",
    "mig_info",
    "mig_memory_total_bytes",
    "mig_memory_used_bytes",
    "mig_memory_free_bytes",
    "mig_memory_reserved_bytes",
    "mig_mode_current",
    "driver_version",
    "last_collect_success",
    "last_collect_duration_seconds",
    "failed_scrapes_total",
    "nvml_return_code",
]

DCGM = [
    "SM_CLOCK",
    "MEM_CLOCK",
    "MEMORY_TEMP",
    "GPU_TEMP",
    "POWER_USAGE",
    "TOTAL_ENERGY_CONSUMPTION",
    "GPU_UTIL",
    "MEM_COPY_UTIL",
    "ENC_UTIL",
    "DEC_UTIL",
    "XID_ERRORS",
    "FB_FREE",
    "FB_USED",
    "FB_RESERVED",
]

XIDS = {(uuid_of(0), 79): XidCount(2, 1_700_000_000.5)}
PART = MIGSlice("MIG-1", "1g.10gb", 1, 0, 9_984, 84, 9_800)
BUSY = replace(
    FULL,
    processes=(process(user='a"b\\c\nd'),),
    vitals=replace(FULL.vitals, recovery_action=0, pcie_rx_bytes_per_second=0.0, pcie_tx_bytes_per_second=1.5e9),
    condition=replace(FULL.condition, fabric_state=3, mig_slices=(PART,)),
)


def render(
    *gpus: Any, hostname: str | None = None, xids: Any = XIDS, stats: CollectStats | None = None, **changes: Any
) -> str:
    shown = [judged(gpu) for gpu in gpus]
    return render_gpu_metrics(
        snapshot(*gpus, **changes), shown, xids, stats or CollectStats(3, 0), MONOTONIC + 2.5, hostname
    )


def names(text: str) -> set[str]:
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def value(text: str, start: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return float(line.rpartition(" ")[2])


def test_all_dashboard_metrics_exist():
    assert {f"nvidia_smi_{name}" for name in SMI} - names(render(BUSY)) == set()


def test_dcgm_metrics_exist_on_request():
    assert {f"DCGM_FI_DEV_{name}" for name in DCGM} - names(render(BUSY, hostname="box")) == set()


def test_dcgm_metrics_are_absent_by_default():
    assert not [name for name in names(render(BUSY)) if name.startswith("DCGM")]


def test_dcgm_metrics_have_their_dashboards_labels():
    (line,) = [line for line in render(BUSY, hostname="box").splitlines() if line.startswith("DCGM_FI_DEV_GPU_TEMP{")]
    for label in ('gpu="0"', f'UUID="{uuid_of(0)}"', "pci_bus_id=", 'modelName="NVIDIA Test"', 'hostname="box"'):
        assert label in line


def test_info_metric_has_its_dashboards_labels():
    (line,) = [line for line in render(BUSY).splitlines() if line.startswith("nvidia_smi_gpu_info{")]
    for label in ("uuid", "name", "index", "driver_version", "cuda_version", "pci_bus_id"):
        assert f'{label}="' in line


def test_values_are_in_base_units():
    gpu = reading(
        vitals=vitals(utilization_gpu=97, power_watts=412.3, clocks=Clocks(sm=1980), memory_used_mb=1024),
    )
    text = render(gpu)
    assert value(text, "nvidia_smi_utilization_gpu_ratio{") == pytest.approx(0.97)
    assert value(text, "nvidia_smi_memory_used_bytes{") == 2**30
    assert value(text, "nvidia_smi_power_draw_watts{") == pytest.approx(412.3)
    assert value(text, "nvidia_smi_clocks_current_sm_clock_hz{") == 1.98e9


def test_zero_is_a_value():
    text = render(FULL)
    for name in ("power_draw_watts", "pstate", "utilization_gpu_ratio", "fan_speed_ratio", "compute_mode", "index"):
        assert value(text, f"nvidia_smi_{name}{{") == 0


def test_unknown_value_is_left_out():
    found = names(render(reading(vitals=vitals(power_watts=None, utilization_gpu=None), condition=None)))
    assert not found & {
        "nvidia_smi_power_draw_watts",
        "nvidia_smi_utilization_gpu_ratio",
        "nvidia_smi_ecc_errors_uncorrected_volatile_total",
        "nvidia_smi_compute_mode",
        "nvidia_smi_pstate",
    }


def test_failed_process_list_does_not_look_like_an_idle_gpu():
    text = render(reading(processes=None), reading(1))
    assert value(text, "nvidia_smi_compute_apps_last_collect_success ") == 0
    assert text.count("nvidia_smi_compute_apps{") == 1
    assert value(render(reading(), lost(1)), "nvidia_smi_compute_apps_last_collect_success ") == 1


def test_memory_of_a_gpu_instance_is_listed_once():
    parts = tuple(MIGSlice(f"MIG-{n}", "1g.10gb", 1, n, 10_000, 100, 9_800) for n in range(2))
    text = render(reading(condition=GPUCondition(mig_enabled=True, mig_slices=parts)))
    assert text.count("nvidia_smi_mig_info{") == 2
    assert value(text, "nvidia_smi_mig_memory_reserved_bytes{") == 100 << 20


def test_driver_version_is_a_number_with_a_text_label():
    assert value(render(BUSY), "nvidia_smi_driver_version{") == 580.65
    assert 'driver_version="580.65.06"} 580.65' in render(BUSY)


def test_family_without_samples_has_no_header():
    assert "nvidia_smi_fan_speed_ratio" not in render(reading())


def test_lost_gpu_keeps_its_name_without_values():
    text = render(lost(), reading(1))
    assert text.count("nvidia_smi_gpu_info{") == 2
    assert text.count("nvidia_smi_temperature_gpu{") == 1
    assert f'diffusion_pipe_gpu_status{{uuid="{uuid_of(0)}",status="lost"}} 1' in text


def test_gpu_without_a_uuid_is_left_out():
    assert "nvidia_smi_gpu_info" not in render(reading(identity=None, vitals=None))


def test_hostile_label_is_escaped():
    text = render(BUSY)
    assert 'user="a\\"b\\\\c\\nd"' in text


def test_age_of_the_reading_is_exported():
    assert value(render(FULL), "diffusion_pipe_gpu_reading_age_seconds{") == 2.5


def test_task_is_exported():
    shown = [judged(FULL, task=task("mine"))]
    text = render_gpu_metrics(snapshot(FULL), shown, {}, CollectStats(0, 0), MONOTONIC, None)
    assert f'diffusion_pipe_gpu_task{{uuid="{uuid_of(0)}",task_id="mine",task_type="training"}} 1' in text


def test_failing_source_is_exported():
    text = render(problem="driver not loaded", stats=CollectStats(7, 9), xids={})
    assert value(text, "nvidia_smi_last_collect_success ") == 0
    assert value(text, "nvidia_smi_nvml_return_code ") == 9
    assert value(text, "nvidia_smi_failed_scrapes_total ") == 7


def test_xids_are_counted_by_gpu_and_number():
    text = render(FULL)
    assert value(text, f'nvidia_smi_xid_errors_total{{uuid="{uuid_of(0)}",xid="79"}}') == 2
    assert value(text, "nvidia_smi_xid_last_timestamp_seconds{") == pytest.approx(1_700_000_000.5, abs=1)


def test_every_series_is_unique():
    lines = [line.rpartition(" ")[0] for line in render(BUSY, reading(1), lost(2), hostname="box").splitlines()]
    samples = [line for line in lines if line and not line.startswith("#")]
    assert len(samples) == len(set(samples))


def check_with_promtool(text: str) -> subprocess.CompletedProcess[str]:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is not installed")
        pytest.skip("promtool is not installed (Debian's package prometheus brings it)")
    return subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "gpus",
    [
        (BUSY, reading(1), lost(2)),
        (reading(identity=identity(name='bad "name"\\\n')),),
        (reading(condition=GPUCondition(ecc=ECCErrors(), repair=MemoryRepair())),),
        (),
    ],
)
def test_promtool_reports_no_problem(gpus: Any):
    done = check_with_promtool(render(*gpus))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_promtool_can_parse_dcgm_names():
    done = check_with_promtool(render(BUSY, lost(1), hostname="box"))
    # 3: it could parse all, but complains about their style, which DCGM's dashboards require.
    assert done.returncode == 3
    assert {line.split()[0] for line in done.stderr.splitlines()} <= {f"DCGM_FI_DEV_{name}" for name in DCGM}


def test_openmetrics_counters_have_no_suffix_in_their_family_name():
    shown = [judged(BUSY)]
    stats = CollectStats(3, 0)
    text = render_gpu_metrics(snapshot(BUSY), shown, XIDS, stats, MONOTONIC, "box", is_open=True)
    families = {family.name: family for family in parser.text_string_to_metric_families(text + "# EOF\n")}
    assert families["nvidia_smi_energy_joules"].type == "counter"
    assert families["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"].type == "unknown"
    assert names(text) == names(render(BUSY, hostname="box"))
