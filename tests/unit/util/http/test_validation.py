import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import api
from api.errors import Finding
from api.samples.sets.schemas import SamplePrompt
from api.training.schemas import CompareQuery, PatchTraining, ResumeTraining, StartTraining, StopTraining
from api.util.http.validation import _PATTERNS, MAX_FIELDS, Strict, mistakes_in
from api.web.schemas import HistoryQuery, RegisterTask

ONE_LINE_IN_WORDS = "must be one line without control characters, those for the direction of text included"


def mistakes(body: Any, model: Any = StartTraining) -> list[Finding]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return [replace(each, code=None) for each in mistakes_in(caught.value)]


def test_mistake_has_a_code_and_parameters():
    with pytest.raises(ValidationError) as caught:
        StartTraining.model_validate(
            {"model_type": "toy", "priority": 2000, "name": "a\nb", "gpu_id": 1, "gpu_count": 1}
        )
    found = {each.code: each.params for each in mistakes_in(caught.value)}
    assert found == {"value_above_maximum": {"le": "1,000"}, "value_line_with_controls": {}}


def test_alternatives_contain_the_codes_of_each():
    with pytest.raises(ValidationError) as caught:
        StartTraining.model_validate({"model_type": "toy", "gpu_id": 1.5})
    (found,) = mistakes_in(caught.value)
    assert found.code == "value_alternatives"
    assert [each["code"] for each in (found.params or {})["problems"]] == ["value_not_whole", "value_not_text"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model_type", 5, "must be text"),
        ("model_type", "", "must have at least 1 character"),
        ("name", "a\nb", ONE_LINE_IN_WORDS),
        ("name", "gnp\u202efdp", ONE_LINE_IN_WORDS),
        ("name", "a" * 201, "must have at most 200 characters"),
        ("description", "a\0b", "must not hold NUL characters"),
        ("config_toml", "a\0b", "must not hold NUL characters"),
        ("priority", "high", "must be a whole number"),
        ("priority", 1.5, "must be a whole number"),
        ("priority", 2000, "must be at most 1,000"),
        ("queue", "yes", "must be true or false"),
        ("gpu_count", 0, "must be at least 1"),
        ("gpu_ids", 3, "must be a list"),
        ("gpu_ids", [], "must hold at least 1 value"),
        ("config", "epochs = 1", "must be an object"),
        ("env", [], "must be an object"),
        ("retry_on", "hang", "must be a list"),
    ],
)
def test_mistake_is_described_in_plain_language(field: str, value: Any, message: str):
    assert mistakes({"model_type": "toy", field: value}) == [Finding(f"/{field}", message)]


@pytest.mark.parametrize("name", ["Катя", "קטה", "قطة", "a\u200db", "e\u0301", "🐈"])
def test_name_may_be_of_any_script(name: str):
    assert StartTraining.model_validate({"model_type": "toy", "name": name}).name == name


@pytest.mark.parametrize(
    "sign", ["\x85", "\u061c", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u2066", "\u2069"]
)
def test_name_contains_no_control_of_lines_or_direction(sign: str):
    assert mistakes({"model_type": "toy", "name": f"a{sign}b"}) == [Finding("/name", ONE_LINE_IN_WORDS)]


def test_missing_field_is_reported_as_missing():
    assert mistakes({}) == [Finding("/model_type", "is missing")]


def test_too_many_fields_are_one_mistake():
    body = {f"k{number}": 1 for number in range(60_000)}
    with pytest.raises(ValidationError) as caught:
        StartTraining.model_validate(body)
    assert caught.value.error_count() == 1
    assert [replace(each, code=None) for each in mistakes_in(caught.value)] == [
        Finding("", f"has 60,000 fields, and the most is {MAX_FIELDS}")
    ]


def test_body_must_be_an_object():
    assert mistakes([1]) == [Finding("", "must be an object")]


def test_value_of_several_types_must_be_one_of_them():
    found = mistakes({"model_type": "toy", "gpu_ids": [None]})
    assert found == [Finding("/gpu_ids/0", "must be a whole number or text")]


def test_invalid_choice_lists_all_choices():
    (found,) = mistakes({"model_type": "toy", "retry_on": ["sometimes"]})
    assert found.pointer == "/retry_on/0"
    assert found.message.startswith("must be one of 'cuda_out_of_memory', ")


def test_message_of_a_model_validator_is_unchanged():
    (found,) = mistakes({"model_type": "toy", "gpu_id": 1, "gpu_count": 2})
    assert found.message == "give one of gpu_id, gpu_ids and gpu_count, not gpu_id and gpu_count"


@pytest.mark.parametrize(
    "model", [StartTraining, ResumeTraining, StopTraining, PatchTraining, RegisterTask, HistoryQuery]
)
@pytest.mark.parametrize(
    "value", [None, True, -1, 1e300, float("nan"), "", "ä" * 5000, [], [[]], {}, {"a": {}}, "\x00"]
)
def test_no_message_has_the_words_of_pydantic(model: Any, value: Any):
    for name in model.model_fields:
        try:
            model.model_validate({name: value})
        except ValidationError as error:
            messages = " ".join(found.message for found in mistakes_in(error))
            assert not any(
                word in messages.lower() for word in ("input", "pydantic", "instance", "field required", "valid ")
            )


def test_bounds_are_shown_exactly():
    [seed] = mistakes({"text": "a cat", "seed": 2**53}, SamplePrompt)
    assert seed == Finding("/seed", "must be at most 9,007,199,254,740,991")


@pytest.mark.parametrize("number", [1, 9])
def test_wrong_number_of_compared_trainings_is_said_in_words(number: int):
    given = ",".join(f"t{each}" for each in range(number))
    message = "must be two to eight ids of trainings, separated by commas"
    assert mistakes({"tasks": given}, CompareQuery) == [Finding("/tasks", message)]


def test_every_pattern_of_every_request_has_a_message():
    for module in pkgutil.walk_packages(api.__path__, "api."):
        if module.name.endswith("schemas"):
            importlib.import_module(module.name)
    assert {
        pattern for model in requests(Strict) for pattern in patterns(model.model_json_schema())
    } <= _PATTERNS.keys()


def requests(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in model.__subclasses__():
        if each.__module__.startswith("api."):
            yield each
        yield from requests(each)


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for part in schema:
            yield from patterns(part)
    elif isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for part in schema.values():
            yield from patterns(part)
