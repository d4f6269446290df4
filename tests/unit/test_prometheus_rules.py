"""The alerting rules for Prometheus: each fires, does not without its condition, and clears; its metrics are there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "deploy" / "prometheus"

#: Prometheus' own words, and the metric that it makes itself.
_WORDS = {"unless", "on", "uuid", "increase", "avg_over_time", "up", "job", "status", "verdict"}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on PATH")
    return subprocess.run(
        ["promtool", *arguments], cwd=DIRECTORY, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=["rules", "config", "behaviour"],
)
def test_promtool_finds_nothing(arguments: tuple[str, ...]):
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tried():
    rules = re.findall(r"- alert: (\w+)", (DIRECTORY / "alerts.yml").read_text())
    tried = re.findall(r"- name: (\w+)", (DIRECTORY / "alerts_test.yml").read_text())
    assert sorted(rules) == sorted(tried)


def test_every_metric_that_a_rule_names_is_one_of_the_service():
    expressions = re.findall(r"expr: (.*)", (DIRECTORY / "alerts.yml").read_text())
    words = {word for text in expressions for word in re.findall(r"[a-z]\w*", re.sub(r'"[^"]*"|\[\w+\]', "", text))}
    source = "".join(path.read_text() for path in (ROOT / "api/services/gpus").glob("metric*.py"))
    metrics = {re.sub(r"^(nvidia_smi|diffusion_pipe_gpu)_", "", word) for word in words - _WORDS}
    assert metrics
    parts = {metric.removeprefix("clocks_event_reasons_").removesuffix("_total") for metric in metrics}
    assert [part for part in sorted(parts) if part not in source] == []
