"""Prometheus alerting rules from the built-in rules: each stays silent below its bound, fires and clears."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.alerts.facts.exposition import SERIES
from api.alerts.rules.builtin import BUILTIN_RULES
from api.gpus.metrics.families import SMI_FAMILIES
from tools.prometheus_facts import FACTS
from tools.prometheus_rules import DIRECTORY, list_rules, render_all

#: Series that are rendered one by one.
_OTHERS = {
    "nvidia_smi_last_collect_success",
    "diffusion_pipe_gpu_status",
    "diffusion_pipe_gpu_reading_age_seconds",
}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on PATH")
    return subprocess.run(
        ["promtool", *arguments], cwd=DIRECTORY, capture_output=True, text=True, timeout=110, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "--lint=all", "--lint-fatal", "recording.yml", "alerts.yml", "alerts_optional.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
        ("test", "rules", "alerts_optional_test.yml"),
    ],
    ids=["rules", "config", "behaviour", "behaviour of optional ones"],
)
def test_promtool_accepts_the_rules(arguments: tuple[str, ...]):
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", render_all())
def test_files_match_the_description(name: str):
    assert (DIRECTORY / name).read_text() == render_all()[name], "run python tools/prometheus_rules.py"


def test_every_built_in_rule_is_present_and_tested():
    assert {each.rule.rule_id for each in list_rules()} == BUILTIN_RULES.keys()
    files = "".join((DIRECTORY / name).read_text() for name in ("alerts.yml", "alerts_optional.yml"))
    tests = "".join((DIRECTORY / name).read_text() for name in ("alerts_test.yml", "alerts_optional_test.yml"))
    tried = re.findall(r"- name: (\w+) (\w+)", tests)
    there = re.findall(r"- alert: (\w+)\n(?:.*\n){1,3}? +labels: \{severity: (\w+),", files)
    assert sorted(there) == sorted(tried)
    assert len(set(there)) == len(there) == len(list(list_rules())) + 1


def test_disabled_rules_are_in_a_separate_file():
    named = set(re.findall(r"rule: (\w+)\}", (DIRECTORY / "alerts.yml").read_text()))
    off = {rule.rule_id for rule in BUILTIN_RULES.values() if not rule.enabled}
    assert named & off == set()


def test_every_metric_of_a_rule_belongs_to_the_service():
    known = {f"nvidia_smi_{family.name}" for family in SMI_FAMILIES} | _OTHERS
    known |= {f"diffusion_pipe_{series.name}" for series in SERIES}
    named = {name.partition("{")[0] for fact in FACTS.values() for name in fact.series}
    assert named - known == set()


def test_messages_have_no_unfilled_placeholder():
    text = "".join((DIRECTORY / name).read_text() for name in ("alerts.yml", "alerts_optional.yml"))
    assert re.findall(r"(?<!\{)\{[a-z_]+\}(?!\})", text) == []


def test_configuration_names_the_files():
    assert set(re.findall(r"^ +(?:# )?- (\w+\.yml)$", (DIRECTORY / "prometheus.yml").read_text(), re.MULTILINE)) == {
        path.name for path in Path(DIRECTORY).glob("*.yml")
    } - {"prometheus.yml", "alerts_test.yml", "alerts_optional_test.yml"}
