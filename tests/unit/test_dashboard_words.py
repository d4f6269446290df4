"""The dashboard's texts and scripts agree with each other and with the service."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from api import errors
from api.alerts.rules.builtin import BUILTIN_RULES
from api.domain.access.principal import Permission
from api.domain.machines.gpu import GPUStatus
from api.domain.models.part_titles import PART_FORMS
from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.progress import Stage
from api.domain.tasks.training import AttemptStatus, StopRung, TaskStatus
from api.errors import ServiceError
from api.gpus.health.xids import CATALOGUE, RECOVERY_ACTIONS, look_up, look_up_action
from api.trainers.diffusion_pipe.base_models import CATALOG
from api.trainers.diffusion_pipe.config.key_help import PATH_HELP
from api.trainers.diffusion_pipe.installation import problems
from api.trainers.diffusion_pipe.key_descriptions import describe_settings
from api.trainers.diffusion_pipe.models.registry import MODELS, PRESETS
from api.trainers.failures import known_causes
from api.util.http import validation
from api.web.page_texts import CHINESE, add_chinese

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "api" / "dashboard"
SOURCES = {
    path.relative_to(SCRIPTS).as_posix(): path.read_text()
    for path in SCRIPTS.rglob("*.js")
    if path.parent.name != "vendor"
}
TEXTS: dict[str, dict[str, str]] = {
    "en": json.loads((SCRIPTS / "locales/en.json").read_text()),
    "zh": json.loads(add_chinese((SCRIPTS / CHINESE).read_bytes())),
}
#: Sentences and errors of the service are English already, so their codes have Chinese texts only.
SERVICE, ERROR = "service.", "api_error."


def page_texts(language: str) -> dict[str, str]:
    return {key: text for key, text in TEXTS[language].items() if not key.startswith((SERVICE, ERROR))}


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{([\w:]+)\}", text))


def test_both_languages_have_the_same_keys_and_placeholders():
    english, chinese = page_texts("en"), page_texts("zh")
    assert english.keys() == chinese.keys()
    assert {key for key in english if placeholders(english[key]) != placeholders(chinese[key])} == set()


@pytest.mark.parametrize("name", ["zh.json", "zh_rules.js", "zh_settings.js"])
def test_chinese_has_chinese_punctuation(name: str):
    source = json.dumps(TEXTS["zh"], ensure_ascii=False) if name == "zh.json" else SOURCES[f"locales/{name}"]
    # Lists in brackets use the syntax of the configuration.
    texts = re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r"\[[^\]]*\]", "", source))
    mixed = r"[\u4e00-\u9fff][,:;?!(]|[,:;?!)][\u4e00-\u9fff]"
    assert [text for text in texts if re.search(mixed, text)] == []


def test_plurals_use_a_placeholder_of_their_text():
    for key, text in page_texts("en").items():
        assert set(re.findall(r"\{(\w+)\|[^|}]*\|[^|}]*\}", text)) <= placeholders(text), key


def translate_title(text: str) -> str:
    """Translate a text of the catalog as `titled` does."""
    source = SOURCES["locales/zh_titles.js"]
    parts, within, sentences = re.split(r"export const (?:within|sentences)", source)
    known = dict(re.findall(r'^  (?:"([^"]+)"|Enormous):\s+"(.*)",$', sentences, re.MULTILINE))
    if text in known:
        return known[text]
    rules = {name: re.findall(r'\[/(.+)/, "(.*)"\]', block) for name, block in (("parts", parts), ("within", within))}
    for pattern, form in rules["parts"]:
        if re.search(pattern, text):
            text = re.sub(pattern, re.sub(r"\$(\d)", r"\\\1", form), text)
            break
    for pattern, form in rules["within"]:
        text = re.sub(pattern, re.sub(r"\$(\d)", r"\\\1", form), text)
    return text


def test_texts_of_the_model_catalog_have_translations():
    needs = [need for model in CATALOG.values() for variant in model.variants for need in variant.components]
    texts = {need.title for need in needs if re.match(r"(the|a) |.* in diffusers' form", need.title)}
    texts |= {model.memory.note for model in CATALOG.values()} | {preset.title for preset in PRESETS}
    texts |= {variant.note for model in CATALOG.values() for variant in model.variants if variant.note}
    assert {text for text in texts if not re.search("[\u4e00-\u9fff，：]", translate_title(text))} == set()
    assert (
        translate_title("the transformer of Wan 2.2 I2V-A14B, high noise")
        == "Wan 2.2 I2V-A14B（高噪声） 的 transformer"
    )


def test_built_in_rules_have_translations():
    text = SOURCES["locales/zh_rules.js"]
    found = re.findall(r"^  (\w+): \{\n((?:    .*\n)+)  \},$", text, re.MULTILINE)
    assert {rule_id for rule_id, _ in found} == BUILTIN_RULES.keys()
    for rule_id, body in found:
        literals = [text for _, text in re.findall(r"""(["'])((?:\\.|(?!\1).)*)\1""", body)]
        _, summary, in_chinese, remedy, remedy_in_chinese, *resolved = literals
        rule = BUILTIN_RULES[rule_id]
        assert (summary, remedy) == (rule.summary, rule.remedy)
        assert resolved[:1] == [rule.resolved][: 0 if rule.is_event else 1]
        assert placeholders("".join(resolved[:1])) == placeholders("".join(resolved[1:]))
        assert placeholders(summary) == placeholders(in_chinese)
        assert placeholders(remedy) == placeholders(remedy_in_chinese)


def test_every_used_key_has_a_text():
    used = {key for source in SOURCES.values() for key in re.findall(r'\bt\("([^"]+)"', source)}
    assert used - page_texts("en").keys() == set()


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("gpu", GPUStatus),
        ("task", TaskStatus),
        ("attempt", AttemptStatus),
        ("stage", Stage),
        ("rung", StopRung),
        ("cause", CauseCode),
        ("permission", Permission),
    ],
)
def test_every_enum_value_of_the_service_has_a_text(group: str, names: type):
    assert {f"{group}.{name.value.replace(':', '.')}" for name in names} <= page_texts("en").keys()


def chinese_texts(prefix: str = SERVICE) -> dict[str, str]:
    return {key.removeprefix(prefix): text for key, text in TEXTS["zh"].items() if key.startswith(prefix)}


@cache
def calls_of(name: str) -> list[tuple[str, list[Any]]]:
    """Return the calls of `name(…)` with file and arguments; non-literal arguments are None."""
    return [
        (
            file.relative_to(ROOT / "api").as_posix(),
            [each.value if isinstance(each, ast.Constant) else None for each in node.args],
        )
        for file in (ROOT / "api").rglob("*.py")
        if f"{name}(" in (text := file.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


#: Files whose sentences come from tables, which are checked below; and Cause.of itself.
TABLES = {
    "trainers/failures/hints.py",
    "trainers/failures/diagnosis.py",
    "gpus/health/xids.py",
    "domain/tasks/cause.py",
    "domain/finding.py",
    "domain/models/part_titles.py",
}


def sentences() -> Iterator[tuple[str, str]]:
    """Yield each code of the service with its English sentence."""
    for file, (sentence, code) in calls_of("Reason.of"):
        if sentence is not None and code is not None:
            yield code, sentence
        else:
            assert file in TABLES, (
                f"{file}: a sentence and its code must be literals, so that this test can check their translation"
            )
    for file, (_, said, detail, remedy, *_) in calls_of("Cause.of"):
        if detail is not None:
            yield from ((f"{said}_detail", detail), (f"{said}_remedy", remedy))
        else:
            assert file in TABLES
    for known in known_causes.CAUSES:
        yield known.remedy_code, known.remedy
        if known.detail is not None:
            yield known.detail_code, f"{known.detail}: {{line}}"
    yield from PART_FORMS
    xid = [look_up(code) for code in (*CATALOGUE, 4711)]
    actions = [each for number in (*RECOVERY_ACTIONS, 4711) if (each := look_up_action(number))]
    result = [*(x.meaning for x in xid), *(x.advice for x in xid), *(x.retry.message for x in xid)]
    result += [words for action in actions for words in (action.wants, action.advice)]
    yield from ((words.said.code, words.text) for words in result if isinstance(words, Reason))


def texts_of_values() -> dict[str, str]:
    """Return the messages about single values of requests, by code."""
    found = dict([*validation._MESSAGES.values(), *validation._PATTERNS.values()])
    for file in (ROOT / "api").rglob("*.py"):
        if "PydanticCustomError(" not in (text := file.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "PydanticCustomError":
                code, message, *_ = node.args
                if isinstance(code, ast.Constant) and isinstance(message, ast.Constant):
                    found[str(code.value)] = str(message.value)
    return found


#: Messages about values that are put together from others, or from the names of fields.
COMPOSED = {
    "value_alternatives": {"problems"},
    "value_unknown_field": {"known"},
    "value_unknown_field_similar": {"similar"},
}


def test_messages_about_values_have_translations():
    chinese, english = chinese_texts(), texts_of_values()
    assert len(english) > 60
    expected = {code: placeholders(message) for code, message in english.items()} | COMPOSED
    assert {code: placeholders(chinese.get(code, "")) for code in expected} == expected
    assert expected.keys() & finding_texts().keys() == set()


def finding_texts() -> dict[str, str]:
    """Return the texts of findings and of their remedies, by code."""
    texts: dict[str, str] = {}
    for file, (code, message, *remedies) in calls_of("FindingText"):
        assert None not in (code, message, *remedies), f"{file}: a finding's texts must be literals"
        assert code not in texts, f"{file}: another finding has the code {code}"
        texts |= {code: message} | {f"{code}_remedy": remedy for remedy in remedies}
    return texts


def test_findings_have_translations():
    chinese, english = chinese_texts(), {**finding_texts(), "advice": "{advice}"}
    assert english.keys() - chinese.keys() == set()
    # A Chinese sentence may leave out an English fragment.
    assert {code for code in english if placeholders(chinese[code]) - placeholders(english[code])} == set()
    assert english.keys() & {code for code, _ in sentences()} == set()


@pytest.mark.parametrize("package", ["access", "alerts", "catalog", "datasets", "presets"])
def test_findings_have_codes(package):
    for file in (ROOT / "api" / package).rglob("*.py"):
        assert not re.search(r"\bFinding\(", file.read_text()), f"{file.name}: use make_finding"


def test_sentences_of_the_service_have_translations():
    chinese, english = chinese_texts(), dict(sentences())
    assert {"held_by", "got_gpus", "cuda_memory_detail", "hint_no_swap", "xid_79_advice"} <= english.keys()
    assert english.keys() - chinese.keys() == set()
    assert {code for code in english if placeholders(english[code]) != placeholders(chinese[code])} == set()


def test_each_code_has_one_sentence():
    known: dict[str, str] = {}
    for code, sentence in sentences():
        assert known.setdefault(code, sentence) == sentence


def test_no_translation_is_unused():
    of_trainers = {"trainer_not_found", "interpreter_not_found"}
    known = (
        {code for code, _ in sentences()}
        | finding_texts().keys()
        | {"advice"}
        | of_trainers
        | texts_of_values().keys()
        | COMPOSED.keys()
        | {f"{code}_remedy" for code in of_trainers}
    )
    stored = {"checkpoint_removed"}  # in events of earlier versions
    assert chinese_texts().keys() - known - codes_of_installations() - stored == set()


def codes_of_installations() -> set[str]:
    found = re.findall(r'(?:_error|_warning|InstallationProblem)\(\s*"([a-z_]+)"', Path(problems.__file__).read_text())
    return {*found, "flash_attention_missing", "flash_attention_broken"}


def test_problems_of_the_trainers_environment_have_translations_and_are_documented():
    codes = codes_of_installations()
    assert len(codes) > 15
    assert codes - chinese_texts().keys() == set()
    documented = (ROOT / "docs" / "guides" / "check-the-trainer.md").read_text()
    assert {code for code in codes if f"`{code}`" not in documented} == set()


def test_errors_have_translations_with_their_parameters():
    chinese = chinese_texts(ERROR)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)]
    english = {kind.code: kind.message for kind in kinds}
    assert chinese.keys() == english.keys()
    assert {code for code, text in chinese.items() if not text.endswith(("。", "："))} == set()
    assert {code for code in english if placeholders(english[code]) != placeholders(chinese[code])} == set()


def test_refusals_in_the_audit_have_texts():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)]
    refusals = {f"refusal.{kind.code}" for kind in kinds if kind.is_refusal}
    assert {key for key in page_texts("en") if key.startswith("refusal.")} == refusals


def test_keys_of_the_trainer_have_translations():
    text = SOURCES["locales/zh_settings.js"]
    translated = set(re.findall(r'^  "?([\w.]+)"?: ".*",$', text.split("export const paths")[0], re.MULTILINE))
    tables = [table for name in MODELS for table in describe_settings(name).tables]
    keys = {(table.name or table.file, each.name, each.is_path) for table in tables for each in table.settings}
    used = {
        name if name in translated else f"{table}.{name}"
        for table, name, is_path in keys
        if name != "type" or table != "model"
    }
    paths = {f"model.{name}" for facts in MODELS.values() for name in facts.kinds}
    assert used - translated - paths == set()
    assert translated - used == set()
    assert all(f'"{words}"' in text for words in PATH_HELP.values())


def test_no_script_parses_markup():
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function"
    assert {name for name, source in SOURCES.items() if re.search(forbidden, source)} == set()


def test_no_script_contacts_another_server():
    assert {
        name for name, source in SOURCES.items() if re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    } == set()
