"""What the dashboard's scripts say, and what they know of the service: held against each other."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from api import errors
from api.alerts.builtin_rules import BUILTIN_RULES
from api.domain.cause import CauseCode
from api.domain.gpu import GPUStatus
from api.domain.progress import Stage
from api.domain.reason import Reason
from api.domain.training import AttemptStatus, StopRung, TaskStatus
from api.errors import ServiceError
from api.gpus.xids import CATALOGUE, RECOVERY_ACTIONS, look_up, look_up_action
from api.trainers.diffusion_pipe.catalog.presets import PRESETS
from api.trainers.diffusion_pipe.catalog.table import CATALOG
from api.trainers.diffusion_pipe.key_words import PATH_WORDS
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.settings import describe_settings
from api.trainers.protocol import diagnosis, hints

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "api" / "dashboard"
SOURCES = {
    path.relative_to(SCRIPTS).as_posix(): path.read_text()
    for path in SCRIPTS.rglob("*.js")
    if path.parent.name != "vendor"
}
TEXTS: dict[str, dict[str, str]] = {
    language: json.loads((SCRIPTS / "locales" / f"{language}.json").read_text()) for language in ("en", "zh")
}
#: The service's sentences and the messages of its errors are English already: their codes have a text in Chinese only.
SERVICE, ERROR = "service.", "api_error."


def words(language: str) -> dict[str, str]:
    return {key: text for key, text in TEXTS[language].items() if not key.startswith((SERVICE, ERROR))}


def places(text: str) -> set[str]:
    return set(re.findall(r"\{([\w:]+)\}", text))


def test_both_languages_say_the_same_things():
    english, chinese = words("en"), words("zh")
    assert english.keys() == chinese.keys()
    assert {key for key in english if places(english[key]) != places(chinese[key])} == set()


@pytest.mark.parametrize("name", ["zh.json", "zh_rules.js", "zh_settings.js"])
def test_chinese_has_chinese_punctuation(name: str):
    # Lists in brackets are written as a configuration has them.
    plain = re.sub(r"\[[^\]]*\]", "", (SCRIPTS / "locales" / name).read_text())
    texts = re.findall(r'"((?:[^"\\]|\\.)*)"', plain)
    mixed = r"[\u4e00-\u9fff][,:;?!(]|[,:;?!)][\u4e00-\u9fff]"
    assert [text for text in texts if re.search(mixed, text)] == []


def test_a_plural_is_of_a_number_that_is_told():
    for key, text in words("en").items():
        assert set(re.findall(r"\{(\w+)\|[^|}]*\|[^|}]*\}", text)) <= places(text), key


def in_chinese(text: str) -> str:
    """What `titled` makes of what the catalogue says."""
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


def test_what_the_catalogue_of_models_says_is_said_in_chinese_too():
    needs = [need for model in CATALOG.values() for variant in model.variants for need in variant.components]
    told = {need.title for need in needs if re.match(r"(the|a) |.* in diffusers' form", need.title)}
    told |= {model.memory.note for model in CATALOG.values()} | {preset.title for preset in PRESETS}
    told |= {variant.note for model in CATALOG.values() for variant in model.variants if variant.note}
    assert {text for text in told if not re.search("[\u4e00-\u9fff，：]", in_chinese(text))} == set()
    assert in_chinese("the transformer of Wan 2.2 I2V-A14B, high noise") == "Wan 2.2 I2V-A14B（高噪声） 的 transformer"


def test_every_rule_that_is_built_in_is_told_in_chinese_too():
    text = SOURCES["locales/zh_rules.js"]
    found = re.findall(r"^  (\w+): \{\n((?:    .*\n)+)  \},$", text, re.MULTILINE)
    assert {rule_id for rule_id, _ in found} == BUILTIN_RULES.keys()
    for rule_id, body in found:
        said = [text for _, text in re.findall(r"""(["'])((?:\\.|(?!\1).)*)\1""", body)]
        _, summary, in_chinese, remedy, remedy_in_chinese, *resolved = said
        rule = BUILTIN_RULES[rule_id]
        assert (summary, remedy) == (rule.summary, rule.remedy)
        assert resolved[:1] == [rule.resolved][: 0 if rule.is_event else 1]
        assert places("".join(resolved[:1])) == places("".join(resolved[1:]))
        assert places(summary) == places(in_chinese)
        assert places(remedy) == places(remedy_in_chinese)


def test_every_word_that_is_used_is_known():
    used = {key for source in SOURCES.values() for key in re.findall(r'\bt\("([^"]+)"', source)}
    assert used - words("en").keys() == set()


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("gpu", GPUStatus),
        ("task", TaskStatus),
        ("attempt", AttemptStatus),
        ("stage", Stage),
        ("rung", StopRung),
        ("cause", CauseCode),
    ],
)
def test_every_status_of_the_service_has_a_word(group: str, names: type):
    assert {f"{group}.{name.value}" for name in names} <= words("en").keys()


def said_in_chinese(prefix: str = SERVICE) -> dict[str, str]:
    return {key.removeprefix(prefix): text for key, text in TEXTS["zh"].items() if key.startswith(prefix)}


@cache
def calls_of(name: str) -> list[tuple[str, list[Any]]]:
    """Where `name.of(…)` is called in the service, with its arguments; what is no literal is None."""
    return [
        (
            file.relative_to(ROOT / "api").as_posix(),
            [each.value if isinstance(each, ast.Constant) else None for each in node.args],
        )
        for file in (ROOT / "api").rglob("*.py")
        if f"{name}.of(" in (text := file.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{name}.of"
    ]


#: Where sentences come from tables, each of which is looked at below; and Cause.of itself.
TABLES = {"trainers/protocol/hints.py", "trainers/protocol/diagnosis.py", "gpus/xids.py", "domain/cause.py"}


def sentences() -> Iterator[tuple[str, str]]:
    """Each code of the service with its English sentence."""
    for file, (sentence, code) in calls_of("Reason"):
        if sentence is not None and code is not None:
            yield code, sentence
        else:
            assert file in TABLES, f"{file}: a sentence and its code are literals, so that they can be translated"
    for file, (_, said, detail, remedy, *_) in calls_of("Cause"):
        if detail is not None:
            yield from ((f"{said}_detail", detail), (f"{said}_remedy", remedy))
        else:
            assert file in TABLES
    for rule in (*diagnosis._RULES, diagnosis._NCCL_TIMEOUT):
        yield from ((f"{rule.said}_detail", rule.detail + ": {line}"), (f"{rule.said}_remedy", rule.remedy))
    yield from ((f"hint_{code}", hint) for _, code, hint in hints.HINTS)
    xid = [look_up(code) for code in (*CATALOGUE, 4711)]
    actions = [each for number in (*RECOVERY_ACTIONS, 4711) if (each := look_up_action(number))]
    told = [*(x.meaning for x in xid), *(x.advice for x in xid), *(x.retry.words for x in xid)]
    told += [words for action in actions for words in (action.wants, action.advice)]
    yield from ((words.said.code, words.text) for words in told if isinstance(words, Reason))


def test_every_sentence_of_the_service_is_said_in_chinese_with_the_same_places():
    chinese, english = said_in_chinese(), dict(sentences())
    assert {"held_by", "got_gpus", "cuda_memory_detail", "hint_no_swap", "xid_79_advice"} <= english.keys()
    assert english.keys() - chinese.keys() == set()
    assert {code for code in english if places(english[code]) != places(chinese[code])} == set()


def test_one_code_says_one_thing():
    said: dict[str, str] = {}
    for code, sentence in sentences():
        assert said.setdefault(code, sentence) == sentence


def test_nothing_is_translated_that_the_service_does_not_say():
    of_trainers = {"trainer_not_found", "interpreter_not_found"}
    known = {code for code, _ in sentences()} | of_trainers | {f"{code}_remedy" for code in of_trainers}
    assert said_in_chinese().keys() - known == set()


def test_every_error_has_a_chinese_text_with_the_parameters_of_its_message():
    chinese = said_in_chinese(ERROR)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)]
    english = {kind.code: kind.message for kind in kinds}
    assert chinese.keys() == english.keys()
    assert {code for code, text in chinese.items() if not text.endswith(("。", "："))} == set()
    assert {code for code in english if places(english[code]) != places(chinese[code])} == set()


def test_every_key_of_the_trainer_is_told_in_chinese_too():
    text = SOURCES["locales/zh_settings.js"]
    told = set(re.findall(r'^  "?([\w.]+)"?: ".*",$', text.split("export const paths")[0], re.MULTILINE))
    tables = [table for name in MODELS for table in describe_settings(name).tables]
    keys = {(table.name or table.file, each.name, each.is_path) for table in tables for each in table.settings}
    used = {
        name if name in told else f"{table}.{name}"
        for table, name, is_path in keys
        if name != "type" or table != "model"
    }
    paths = {f"model.{name}" for facts in MODELS.values() for name in facts.kinds}
    assert used - told - paths == set()
    assert told - used == set()
    assert all(f'"{words}"' in text for words in PATH_WORDS.values())


def test_every_model_type_can_be_chosen():
    listed = re.findall(r'"([^"]+)"', SOURCES["screens/models/model_types.js"].split("= [")[1])
    assert set(listed) == {"toy", *MODELS}


def test_no_script_makes_markup_of_text():
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function"
    assert {name for name, source in SOURCES.items() if re.search(forbidden, source)} == set()


def test_no_script_asks_another_server():
    assert {
        name for name, source in SOURCES.items() if re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    } == set()
