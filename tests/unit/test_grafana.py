"""The files for Grafana match their description and are valid."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.alerts.facts.exposition import SERIES
from api.gpus.metrics.families import SMI_FAMILIES
from api.util import measures
from tools.grafana_dashboards import DIRECTORY, render_all
from tools.grafana_panels import SCHEMA, SOURCE, WIDTH

PROVISIONING = DIRECTORY.parent / "provisioning"

KINDS = {"row", "timeseries", "stat", "gauge", "bargauge", "table", "heatmap", "state-timeline"}
UNITS = {
    *("none", "percentunit", "bytes", "celsius", "watt", "hertz", "s", "Bps", "kwatth", "reqps", "ops", "bool_yes_no"),
}

#: Series that are rendered one by one.
OTHERS = {
    *("up", "nvidia_smi_gpu_info", "nvidia_smi_xid_errors_total", "nvidia_smi_last_collect_duration_seconds"),
    *("process_resident_memory_bytes", "process_start_time_seconds", "process_cpu_seconds_total", "process_open_fds"),
    *("diffusion_pipe_build_info", "diffusion_pipe_gpus", "diffusion_pipe_gpu_available", "diffusion_pipe_gpu_status"),
    *("diffusion_pipe_gpu_health", "diffusion_pipe_gpu_task", "diffusion_pipe_gpu_reading_age_seconds"),
    *("diffusion_pipe_http_requests_total", "diffusion_pipe_http_request_duration_seconds", "diffusion_pipe_alerts"),
    *("diffusion_pipe_trainings", "diffusion_pipe_stream_subscribers", "diffusion_pipe_stream_messages_total"),
    *("diffusion_pipe_stream_dropped_total", "diffusion_pipe_host_cpus", "diffusion_pipe_host_cpu_ratio"),
    *("diffusion_pipe_host_load1", "diffusion_pipe_host_memory_total_bytes"),
    *("diffusion_pipe_host_memory_available_bytes",),
}

BOARDS: Mapping[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in DIRECTORY.glob("*.json")}


def panels(board: str) -> Iterator[dict[str, Any]]:
    yield from BOARDS[board]["panels"]


def expressions() -> Iterator[str]:
    for board in BOARDS:
        for panel in panels(board):
            yield from (target["expr"] for target in panel.get("targets", ()))


def test_files_match_the_description():
    found = {path.name: path.read_text() for path in DIRECTORY.iterdir()}
    assert found == render_all(), "run python tools/grafana_dashboards.py"


def test_dashboard_names_are_unique():
    for field in ("uid", "title"):
        assert len({board[field] for board in BOARDS.values()}) == len(BOARDS)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", board["uid"]) for board in BOARDS.values())


@pytest.mark.parametrize("board", sorted(BOARDS))
def test_dashboard_is_classic_json_without_fields_that_only_an_import_sets(board: str):
    whole = BOARDS[board]
    assert (whole["schemaVersion"], "id" in whole, "__inputs" in whole) == (SCHEMA, False, False)
    first, *others = whole["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert {each["name"] for each in others} >= {"node"}
    assert all(each["datasource"] == SOURCE and each["multi"] and each["includeAll"] for each in others)
    assert "${DS_" not in json.dumps(whole)


@pytest.mark.parametrize("board", sorted(BOARDS))
def test_panels_query_the_selected_source_and_have_known_kinds_and_units(board: str):
    numbers = [panel["id"] for panel in panels(board)]
    assert len(set(numbers)) == len(numbers)
    for panel in panels(board):
        assert panel["type"] in KINDS
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["datasource"] == SOURCE
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        assert all(target["datasource"] == SOURCE for target in panel["targets"])
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS
        assert defaults["thresholds"]["steps"][0]["value"] is None
        for override in panel["fieldConfig"]["overrides"]:
            assert all(each["id"] != "unit" or each["value"] in UNITS for each in override["properties"])


@pytest.mark.parametrize("board", sorted(BOARDS))
def test_panels_do_not_overlap(board: str):
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(board):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_variables_with_several_values_are_matched_as_patterns():
    for text in expressions():
        assert re.findall(r'(?<!~)"\$(?:node|gpu)"', text) == []


def test_rates_use_the_interval_variable_of_grafana():
    for text in expressions():
        assert set(re.findall(r"\brate\([^\[]*\[([^\]]*)\]", text)) <= {"$__rate_interval", "1h", "$__range"}


def test_every_metric_belongs_to_the_service():
    known = OTHERS | {f"nvidia_smi_{family.name}" for family in SMI_FAMILIES}
    known |= {f"diffusion_pipe_{series.name}" for series in SERIES} | {histogram.name for histogram in measures.ALL}
    named = {
        name for text in expressions() for name in re.findall(r"\b(?:nvidia_smi|diffusion_pipe|process)_\w+", text)
    }
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named} - known == set()


def test_links_lead_to_existing_dashboards():
    uids = {board["uid"] for board in BOARDS.values()}
    for board in BOARDS.values():
        for uid in re.findall(r"/d/([\w-]+)\?", json.dumps(board)):
            assert uid in uids


def test_provisioning_has_only_known_keys():
    sources = load(PROVISIONING / "datasources" / "prometheus.yaml")
    known = {"name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData"}
    assert sources.keys() == {"apiVersion", "datasources"}
    assert all(each.keys() <= known and each["type"] == "prometheus" for each in sources["datasources"])
    providers = load(PROVISIONING / "dashboards" / "diffusion-pipe.yaml")
    known = {"name", "orgId", "folder", "folderUid", "type", "disableDeletion", "updateIntervalSeconds"}
    assert providers.keys() == {"apiVersion", "providers"}
    assert all(each.keys() <= known | {"allowUiUpdates", "options"} for each in providers["providers"])
    assert [each["options"].keys() for each in providers["providers"]] == [{"path"}]


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded
