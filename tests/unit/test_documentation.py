"""What the documentation promises to be whole is whole."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from api import errors
from api.access.views import KeyView
from api.config import Config, read_config
from api.domain.audit import AuditRow
from api.domain.cause import CauseCode
from api.domain.event import EventType, GPUEvent
from api.domain.gpu import GPUProcesses, GPUStatusResponse
from api.domain.log import SearchResult, TaskLogPage
from api.domain.progress import Stage
from api.domain.training import EventKind, TaskStatus
from api.training.views import TaskProgressView, Validation
from api.util.base_path import BASE_PATH
from api.web.operations import OperationTable

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "TRAINING_API.md").read_text(encoding="utf-8")


def _codes(kind: type[errors.ServiceError] = errors.ServiceError) -> Iterator[tuple[str, int]]:
    yield kind.code, kind.status
    for narrower in kind.__subclasses__():
        yield from _codes(narrower)


@pytest.mark.parametrize(("code", "status"), sorted(set(_codes())))
def test_every_error_code_stands_in_the_row_of_its_status(code: str, status: int):
    table = GUIDE.partition("\n## Error codes\n")[2]
    assert re.search(rf"^\| (\d+, )*{status}(, \d+)* \|.*`{code}`", table, re.MULTILINE)


@pytest.mark.parametrize("word", [*CauseCode, *EventKind, *EventType, *TaskStatus, *Stage])
def test_every_cause_event_status_and_stage_is_named(word: str):
    assert f"`{word.value}`" in GUIDE


def test_the_contents_name_every_chapter():
    contents, _, chapters = GUIDE.partition("\n## ")
    links = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", f"## {chapters}", re.MULTILINE)}
    assert {link for link in links if f"](#{link})" not in contents} == set()


def _anchors(text: str) -> set[str]:
    """What the headings of a document are called in links, numbered where several are alike."""
    counts, found = Counter[str](), set[str]()
    for title in re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    ):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
        counts[slug] += 1
    return found


DOCUMENTS = [path for folder in ("", "docs", "deploy", "deploy/slurm") for path in (ROOT / folder).glob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(document: Path):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text(encoding="utf-8")):
        place, _, anchor = link.partition("#")
        target = (document.parent / place) if place else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target.read_text(encoding="utf-8")), link


def test_no_two_words_of_the_contents_lead_to_one_chapter():
    links = re.findall(r"\]\(#([^)]+)\)", GUIDE.partition("\n## ")[0])
    assert [link for link, count in Counter(links).items() if count > 1] == []


@pytest.mark.parametrize(
    ("chapter", "kind"),
    [
        ("### The audit", AuditRow),
        ("### Every GPU", GPUStatusResponse),
        ("### Processes", GPUProcesses),
        ("### GPU events", GPUEvent),
        ("### Validate", Validation),
        ("### Progress\n\n```sh\nsleep", TaskProgressView),
        ("### Read", TaskLogPage),
        ("### Search", SearchResult),
        ("### Keys", KeyView),
    ],
)
def test_an_example_of_an_answer_has_its_fields(chapter: str, kind: type):
    (text,) = re.findall(rf"^{re.escape(chapter)}.*?```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert set(json.loads(text.replace("[…]", "[]"))) == {field.name for field in fields(kind)}


@pytest.mark.parametrize("setting", [setting.metadata["env"] for setting in fields(Config)])
def test_every_setting_is_in_the_example_and_in_the_guide(setting: str):
    assert re.search(rf"^#? ?{setting}=", (ROOT / ".env.example").read_text(), re.MULTILINE), "not in .env.example"
    rows = re.findall(r"^\| (`.*?`) \| ", (ROOT / "QUICKSTART.md").read_text(), re.MULTILINE)
    assert f"`{setting}`" in ", ".join(rows), "not in the table of settings"


def test_help_names_every_setting_with_its_flag_and_its_default(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        read_config({}, ["--help"], dotenv_path=None)
    # Lines are broken anywhere but within a word.
    result = " ".join(capsys.readouterr().out.split())
    settings = [setting.metadata["env"] for setting in fields(Config)]
    assert [env for env in settings if f"--{env.lower().replace('_', '-')} VALUE" not in result] == []
    assert [env for env in settings if f"[{env}; default: " not in result] == []


def test_every_thread_is_in_the_table_of_threads():
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("\n## Threads\n")[2].partition("\n## ")[0]
    result = set(re.findall(r"[a-z]+(?:-[a-z]+)*", " ".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))))
    text = "".join(path.read_text() for path in (ROOT / "api").rglob("*.py"))
    named = {name.partition("-{")[0] for name in re.findall(r'PeriodicThread\(f?"([a-z{}-]+)"', text)}
    assert len(named) > 30
    assert named - result == set()


def test_make_help_names_every_target():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    helped = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    named = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert sorted(phony.split()) == sorted(helped) == sorted(named)


def test_what_answers_without_a_key_is_told():
    result = re.search(r"Only `/`, .*? answer without\.", GUIDE, re.DOTALL)
    assert result is not None
    addresses = [each.pattern.removeprefix(BASE_PATH) for each in OperationTable().all if each.is_open]
    files = ("/dashboard/<digest>/<path:name>", "/favicon.ico")
    assert [each for each in addresses if each not in files and f"`{each}`" not in result[0]] == []
