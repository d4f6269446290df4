"""A library that lacks functions, as older drivers' do."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.nvml.full_gpus import FIELDS_OF, expected_details, flat, full
from tests.nvml.probe import Probe
from tests.standin import LIBRARY, SOURCE, StandIn, compiler

#: Functions missing in drivers of 2019 (418), according to NVIDIA's headers.
NEWER = (
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetArchitecture",
    "nvmlDeviceGetRemappedRows",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetTemperatureV",
)


def build_without(folder: Path, functions: Sequence[str]) -> Path:
    """The library without some functions."""
    folder.mkdir(parents=True)
    script = folder / "symbols"
    script.write_text("{ global: *; local: " + " ".join(f"{name};" for name in functions) + " };")
    gcc = compiler()
    assert gcc is not None
    flags = ["-O1", "-shared", "-fPIC", "-pthread", "-w", f"-Wl,-soname,{LIBRARY}", f"-Wl,--version-script={script}"]
    subprocess.run([gcc, *flags, "-o", folder / LIBRARY, SOURCE], check=True)
    return folder / LIBRARY


@pytest.fixture(scope="module")
def old_details(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The details of a GPU with an old driver."""
    folder = tmp_path_factory.mktemp("old")
    machine = StandIn(folder / "machine", build_without(folder / "lib", NEWER))
    machine.add_gpus(1, **full(0))
    machine.fail("nvmlEventSetCreate", 3)
    machine.set_processes(0, [(5_000_000, 600 << 20)])
    with Probe(machine.environment()) as probe:
        return probe.details()


def test_functions_missing_in_an_old_driver_are_null_and_unsupported(old_details: dict[str, Any]) -> None:
    paths = [path for name in NEWER for path in FIELDS_OF.get(name, ())]
    assert {path: flat(old_details)[path] for path in paths} == dict.fromkeys(paths)
    assert {path: old_details["unavailable"].get(path) for path in paths} == dict.fromkeys(paths, "unsupported")


def test_functions_of_an_old_driver_are_read_correctly(old_details: dict[str, Any]) -> None:
    other_by_version = {"memory.reserved", "memory.used", "memory.free", "memory.utilization", "unavailable"}
    lacking = {path for name in NEWER for path in FIELDS_OF.get(name, ())} | other_by_version
    found = flat(old_details)
    assert {path: found.get(path) for path in expected_details(0) if path not in lacking} == {
        path: value for path, value in expected_details(0).items() if path not in lacking
    }


def test_memory_of_an_old_driver_is_read_by_version_1(old_details: dict[str, Any]) -> None:
    memory = old_details["memory"]
    assert (memory["total"], memory["used"], memory["reserved"]) == (40_000, 1_110, None)


def test_processes_of_an_old_driver_are_read_by_version_2(old_details: dict[str, Any]) -> None:
    assert [(p["pid"], p["memory"]) for p in old_details["processes"] or []] == [(5_000_000, 600)]
