"""A vision model is asked, by an endpoint with faults."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from api.domain.captioning import CaptionSettings
from api.jobs.preprocessing import vision
from api.jobs.preprocessing.vision import Refused, Unreachable, VisionModel
from tests.hostile_servers import HOSTILE, Answer, serving
from tests.vision_endpoint import Endpoint, serve


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve() as made:
        yield made


def ask(endpoint: Endpoint, *questions: list[bytes], key: str | None = None, **settings: Any) -> list[Any]:
    asked = replace(CaptionSettings(endpoint.address, "m", "What is it?"), timeout_seconds=0.5, **settings)
    return asyncio.run(VisionModel(asked, key, first_wait=0.01).describe_all(questions or [[b"jpeg"]]))


def test_pictures_prompt_and_key_are_sent_and_the_caption_is_what_is_left_of_the_answer(endpoint: Endpoint):
    assert ask(endpoint, [b"one", b"two"], key="secret") == ["a picture, number 1"]
    (asked,) = endpoint.asked
    assert (asked["model"], endpoint.keys) == ("m", ["Bearer secret"])
    kinds = [part["type"] for part in asked["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url"]
    assert asked["messages"][0]["content"][1]["image_url"]["url"] == "data:image/jpeg;base64,b25l"


@pytest.mark.parametrize("fault", ["429", "500", "slow", "garbage", "empty", "endless", "cut"])
def test_passing_faults_are_tried_again(endpoint: Endpoint, fault: str):
    endpoint.script = [fault, fault]
    assert ask(endpoint) == ["a picture, number 3"]


@pytest.mark.parametrize("fault", ["400", "redirect"])
def test_what_another_try_cannot_change_is_told_at_once(endpoint: Endpoint, fault: str):
    endpoint.script = [fault]
    (answer,) = ask(endpoint)
    assert isinstance(answer, Refused)
    assert len(endpoint.asked) == 1


def test_after_every_try_it_counts_as_away(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vision, "TRIES", 3)
    endpoint.script = ["500"] * 3
    (answer,) = ask(endpoint)
    assert isinstance(answer, Unreachable)
    assert "it answered 500: out of order" in str(answer)


def test_one_question_in_trouble_costs_no_other_answer(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vision, "TRIES", 1)
    endpoint.script = ["500"]
    answers = ask(endpoint, [b"one"], [b"two"], [b"three"])
    assert sum(isinstance(answer, str) for answer in answers) == 2


def test_no_more_is_asked_a_minute_than_may_be(endpoint: Endpoint):
    began = time.monotonic()
    ask(endpoint, [b"one"], [b"two"], [b"three"], per_minute=600)
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    "content",
    ['[{"type": "text", "text": 5}]', '[{"text": null}, 3, []]', '{"a": 1}', "5", "null", '""', "[]", "1" * 5000],
)
def test_an_answer_of_any_shape_is_a_caption_or_none(content: str):
    answer = f'{{"choices": [{{"message": {{"content": {content}}}}}]}}'
    with pytest.raises(ValueError, match="its answer"):
        vision._caption_in(answer.encode())


def test_of_an_answer_in_parts_the_texts_count():
    answer = b'{"choices": [{"message": {"content": [{"text": "a "}, {"text": 5}, {"text": "cat"}]}}]}'
    assert vision._caption_in(answer) == "a cat"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_endpoint_costs_little_time(hostile: Answer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vision, "TRIES", 1)
    began = time.monotonic()
    with serving(hostile) as address:
        settings = replace(CaptionSettings(address, "m", "What is it?"), timeout_seconds=0.3)
        (answer,) = asyncio.run(VisionModel(settings, None, first_wait=0.01).describe_all([[b"jpeg"]]))
    assert isinstance(answer, Unreachable | Refused)
    assert time.monotonic() - began < 3
