"""What the documents promise is there: files, headings, commands, and everything that a list should contain."""

import json
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from functools import cache

import pytest

from api import errors
from api.config import SETTINGS, read_config
from api.domain.tasks.cause import CauseCode
from api.trainers.environment import VARIABLES
from api.training.views import TaskProgressView
from api.util.http.base_path import BASE_PATH
from api.web.operations import OperationTable
from tests.documents import DOCUMENTS, ROOT, marked, prose
from tools.reference import Reference, render

GUIDE = DOCUMENTS["TRAINING_API.md"]

#: All documents together, without the changelog and the generated reference, so that they are read.
MOST_WORDS = 30_000


@cache
def reference() -> Reference:
    return render()


def _anchors(text: str) -> set[str]:
    """Return the names of the headings in links, numbered where several are alike."""
    counts, found = Counter[str](), set[str]()
    for title in re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
        counts[slug] += 1
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading(name: str):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(DOCUMENTS[name])):
        path, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / path) if path else ROOT / name
        # The anchor of a picture names its theme.
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in _anchors(target.read_text(encoding="utf-8")), link


def test_no_document_is_left_out_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text()
    included = (ROOT / "tools" / "docs_site.py").read_text()
    assert [
        name
        for name in DOCUMENTS
        if not name.startswith("README")
        and name.removeprefix("docs/") not in navigation
        and f'"{name}"' not in included
    ] == []


@pytest.mark.parametrize(
    "page",
    [
        "../QUICKSTART.md",
        "guides/get-a-message-when-it-ends.md",
        "guides/resume-after-a-crash.md",
        "guides/let-a-team-use-it.md",
        "guides/run-on-slurm.md",
        "reference/settings.md",
        "reference/error-codes.md",
    ],
)
def test_the_first_page_leads_to_what_readers_look_for(page: str):
    assert f"]({page})" in DOCUMENTS["docs/index.md"]


def test_documents_are_short_enough_to_be_read():
    assert sum(len(text.split()) for text in DOCUMENTS.values()) < MOST_WORDS


def test_no_sentence_is_written_twice():
    homes: dict[str, set[str]] = {}
    for name, text in DOCUMENTS.items():
        for sentence in re.split(r"(?<=[.:;])\s+|\n\n|\|", " ".join(re.split(r"\n(?!\n)", prose(text)))):
            if len(sentence.split()) >= 8:
                homes.setdefault(" ".join(sentence.split()), set()).add(name)
    assert {sentence: names for sentence, names in homes.items() if len(names) > 1} == {}


# Commands that need more than a server


MADE = {"deploy/container/certificates", "deploy/container/.env"}
MARKED = [(name, block) for name, text in DOCUMENTS.items() for block in marked(text)]


@pytest.mark.parametrize(("name", "block"), MARKED, ids=[f"{name}-{at}" for at, (name, _) in enumerate(MARKED)])
def test_commands_that_do_not_run_here_are_valid(name: str, block: str):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    makefile = (ROOT / "Makefile").read_text()
    called = re.findall(r"(?:^|[;&|] *|sudo )make ([a-z-]+)", block, re.MULTILINE)
    assert [target for target in called if f"\n{target}:" not in makefile] == []
    # Paths of the checkout, except those that the commands make.
    named = re.findall(r"(?<![\w/.$])((?:deploy|tools|benchmarks)/[\w./-]*\w)", block)
    assert [path for path in named if path not in MADE and not (ROOT / path).exists()] == []
    for method, path in _requests(block):
        assert any(
            method == each.method and re.fullmatch(_pattern(each.pattern), path) for each in OperationTable().all
        ), f"{method} {path}"


def _requests(block: str) -> Iterator[tuple[str, str]]:
    """Return method and path of each curl command."""
    for command in re.findall(r"\bcurl\b(?:[^\n]*\\\n)*[^\n]*", block):
        address = re.search(r"(?:https?://[^/\s'\"]+|\$\w+)(/[^\s'\"?);]*)", command)
        if address is None or "slurm/v0" in command:
            continue
        given = re.search(r"-X (\w+)", command)
        method = given[1] if given else "POST" if re.search(r" (-d|-F|--data-binary) ", command) else "GET"
        path = address[1]
        yield method, path if path.startswith(("/api/", "/health", "/openapi", "/metrics")) else f"{BASE_PATH}{path}"


def _pattern(pattern: str) -> str:
    return re.sub(r"<(?:path:)?\w+>", r"[^/]+", pattern)


# The reference, which the code generates


def test_every_part_of_the_reference_is_in_one_page():
    markers = re.findall(r"<!-- generated: ([\w-]+) -->", "".join(DOCUMENTS.values()))
    assert sorted(markers) == sorted(reference().parts)


def _codes(kind: type[errors.ServiceError] = errors.ServiceError) -> Iterator[tuple[str, int]]:
    yield kind.code, kind.status
    for narrower in kind.__subclasses__():
        yield from _codes(narrower)


def test_the_reference_has_every_setting_code_cause_and_variable():
    parts = reference().parts
    assert [
        each.metadata["env"] for each in SETTINGS.values() if f"`{each.metadata['env']}`" not in parts["settings"]
    ] == []
    assert [code for code, status in _codes() if f"| {status} | `{code}`" not in parts["errors"]] == []
    assert [cause for cause in CauseCode if f"`{cause}`" not in parts["causes"]] == []
    assert [each for each in VARIABLES.values() if f"`{each.name}`" not in parts["variables"]] == []
    assert len(re.findall(r"^\| `(?:diffusion_pipe|nvidia_smi|DCGM)_", parts["metrics"], re.MULTILINE)) > 100


def test_every_operation_has_a_command_that_calls_it():
    pages = "\n".join(reference().pages.values())
    operations = re.findall(r"^`([A-Z]+) (/\S*)`\n.*?^```sh\n(.*?)^```", pages, re.MULTILINE | re.DOTALL)
    assert len(operations) > 150
    for method, path, command in operations:
        words = shlex.split(command)
        assert ("-X" not in words and method == "GET") or words[words.index("-X") + 1] == method
        (address,) = (word for word in words if word.startswith("http://127.0.0.1:8080/"))
        assert re.fullmatch(
            re.sub(r"\{\w+\}", "[A-Z_]+", path), address[len("http://127.0.0.1:8080") :].partition("?")[0]
        )
        if "-d" in words:
            json.loads(words[words.index("-d") + 1])


def test_comments_of_fields_are_at_their_fields():
    training = reference().pages["reference/http/training.md"].partition("### TaskDetails ")[2]
    assert "| `owner` | string or null | the user that owns it; null if the service has no keys |" in training


def test_every_field_and_parameter_is_described():
    pages = reference().pages
    rows = [(name, row) for name, page in pages.items() for row in re.findall(r"^\| `.*\|$", page, re.MULTILINE)]
    assert len(rows) > 2500
    assert [(name, row) for name, row in rows if row.endswith("|  |")] == []


# Facts in the guides


def test_an_example_of_an_answer_has_its_fields():
    (text,) = re.findall(
        r"^```json\n(.*?)^```", DOCUMENTS["docs/guides/follow-from-a-script.md"], re.MULTILINE | re.DOTALL
    )
    assert set(json.loads(text)) == {field.name for field in fields(TaskProgressView)}


def test_open_addresses_are_documented():
    result = re.search(r"Only `/`, .*? answer without\.", GUIDE, re.DOTALL)
    assert result is not None
    addresses = [each.pattern.removeprefix(BASE_PATH) for each in OperationTable().all if each.is_open]
    files = ("/dashboard/<digest>/<path:name>", "/favicon.ico")
    assert [each for each in addresses if each not in files and f"`{each}`" not in result[0]] == []


def test_every_setting_is_in_the_example():
    named = re.findall(r"^#? ?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert {setting.metadata["env"] for setting in SETTINGS.values()} - set(named) == set()


def test_help_names_every_setting_with_its_flag_and_its_default(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        read_config({}, ["--help"], dotenv_path=None)
    # The help wraps lines between words.
    result = " ".join(capsys.readouterr().out.split())
    settings = [setting.metadata["env"] for setting in SETTINGS.values()]
    assert [env for env in settings if f"--{env.lower().replace('_', '-')} VALUE" not in result] == []
    assert [env for env in settings if f"[{env}; default: " not in result] == []


def test_every_thread_is_in_the_table_of_threads():
    table = DOCUMENTS["ARCHITECTURE.md"].partition("\n## Threads\n")[2].partition("\n## ")[0]
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
