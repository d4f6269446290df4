"""What the dashboard's scripts say, and what they know of the service: held against each other."""

import inspect
import re
from pathlib import Path

import pytest

from api.models.gpu import GPUStatus
from api.models.progress import Stage
from api.models.training import CauseCode, StopRung, TaskStatus
from api.services.gpus import judgement as gpu_judgement
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.protocol import diagnosis

SCRIPTS = Path(__file__).resolve().parents[2] / "api" / "dashboard" / "js"
SOURCES = {path.relative_to(SCRIPTS).as_posix(): path.read_text() for path in SCRIPTS.rglob("*.js")}


def words(language: str) -> dict[str, str]:
    text = SOURCES[f"i18n/{language}.js"] + SOURCES[f"i18n/{language}_form.js"]
    return dict(re.findall(r'^  "?([\w.]+)"?:\s+"(.*)",$', text, re.MULTILINE))


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_languages_say_the_same_things():
    english, chinese = words("en"), words("zh")
    assert english.keys() == chinese.keys()
    assert {key for key in english if places(english[key]) != places(chinese[key])} == set()


def test_every_word_that_is_used_is_known():
    used = {key for source in SOURCES.values() for key in re.findall(r'\bt\("([^"]+)"', source)}
    assert used - words("en").keys() == set()


@pytest.mark.parametrize(
    ("group", "names"),
    [("gpu", GPUStatus), ("task", TaskStatus), ("stage", Stage), ("rung", StopRung), ("cause", CauseCode)],
)
def test_every_status_of_the_service_has_a_word(group: str, names: type):
    assert {f"{group}.{name.value}" for name in names} <= words("en").keys()


def said_in_chinese() -> set[str]:
    return set(re.findall(r"^  (\w+):\s", SOURCES["i18n/zh_said.js"], re.MULTILINE))


def test_every_reason_of_a_gpu_is_said_in_chinese():
    # What the driver or a person said is passed on in its own words.
    passed_on = {"kept_aside", "lost", "driver_problem", "unreadable", "degraded"}
    codes = set(re.findall(r'Reason\.of\(.*?"(\w+)"(?:, \w+=.*)?\)$', inspect.getsource(gpu_judgement), re.MULTILINE))
    assert {"held_by", "process", "old"} <= codes
    assert codes - passed_on <= said_in_chinese()


def test_every_remedy_of_a_diagnosis_is_said_in_chinese():
    codes = {rule.said for rule in (*diagnosis._RULES, diagnosis._NCCL_TIMEOUT)}
    assert {f"{code}_remedy" for code in codes} <= said_in_chinese()


def test_every_model_type_can_be_chosen():
    listed = re.findall(r'"([^"]+)"', SOURCES["model_types.js"].split("= [")[1])
    assert set(listed) == {"toy", *MODELS}


def test_no_script_makes_markup_of_text():
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function"
    assert {name for name, source in SOURCES.items() if re.search(forbidden, source)} == set()


def test_no_script_asks_another_server():
    assert {
        name for name, source in SOURCES.items() if re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    } == set()
