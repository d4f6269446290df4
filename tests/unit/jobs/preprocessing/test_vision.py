"""The client of vision models, against an endpoint with faults."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from api.domain.datasets.captioning import CaptionSettings
from api.jobs.preprocessing import vision
from api.jobs.preprocessing.vision import Refused, Unreachable, VisionModel
from tests.hostile_servers import HOSTILE, Answer, serving
from tests.patience import BUSY_SECONDS
from tests.vision_endpoint import Endpoint, serve


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve() as made:
        yield made


def ask(endpoint: Endpoint, *questions: list[bytes], key: str | None = None, **settings: Any) -> list[Any]:
    asked = replace(CaptionSettings(endpoint.address, "m", "What is it?"), timeout_seconds=0.5, **settings)
    return asyncio.run(VisionModel(asked, key, first_wait=0.01).describe_all(questions or [[b"jpeg"]]))


def test_request_has_pictures_prompt_and_key(endpoint: Endpoint):
    assert ask(endpoint, [b"one", b"two"], key="secret") == ["a picture, number 1"]
    (asked,) = endpoint.requests
    assert (asked["model"], endpoint.keys) == ("m", ["Bearer secret"])
    kinds = [part["type"] for part in asked["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url"]
    assert asked["messages"][0]["content"][1]["image_url"]["url"] == "data:image/jpeg;base64,b25l"


@pytest.mark.parametrize("fault", ["429", "500", "slow", "garbage", "empty", "endless", "cut"])
def test_temporary_errors_are_retried(endpoint: Endpoint, fault: str):
    endpoint.script = [fault, fault]
    assert ask(endpoint) == ["a picture, number 3"]


@pytest.mark.parametrize("fault", ["400", "redirect"])
def test_permanent_errors_are_not_retried(endpoint: Endpoint, fault: str):
    endpoint.script = [fault]
    (answer,) = ask(endpoint)
    assert isinstance(answer, Refused)
    assert len(endpoint.requests) == 1


def test_endpoint_is_unreachable_after_all_tries(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vision, "TRIES", 3)
    endpoint.script = ["500"] * 3
    (answer,) = ask(endpoint)
    assert isinstance(answer, Unreachable)
    assert "the answer was 500: out of order" in str(answer)


def test_failed_request_does_not_affect_others(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vision, "TRIES", 1)
    endpoint.script = ["500"]
    answers = ask(endpoint, [b"one"], [b"two"], [b"three"])
    assert sum(isinstance(answer, str) for answer in answers) == 2


def test_requests_per_minute_are_limited(endpoint: Endpoint):
    started_at = time.monotonic()
    ask(endpoint, [b"one"], [b"two"], [b"three"], per_minute=600)
    assert time.monotonic() - started_at >= 0.2


@pytest.mark.parametrize(
    "content",
    ['[{"type": "text", "text": 5}]', '[{"text": null}, 3, []]', '{"a": 1}', "5", "null", '""', "[]", "1" * 5000],
)
def test_malformed_answer_has_no_caption(content: str):
    answer = f'{{"choices": [{{"message": {{"content": {content}}}}}]}}'
    with pytest.raises(ValueError, match="the answer"):
        vision._caption_in(answer.encode())


def test_text_parts_of_an_answer_are_joined():
    answer = b'{"choices": [{"message": {"content": [{"text": "a "}, {"text": 5}, {"text": "cat"}]}}]}'
    assert vision._caption_in(answer) == "a cat"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_endpoint_costs_little_time(hostile: Answer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vision, "TRIES", 1)
    started_at = time.monotonic()
    with serving(hostile) as address:
        settings = replace(CaptionSettings(address, "m", "What is it?"), timeout_seconds=0.3)
        (answer,) = asyncio.run(VisionModel(settings, None, first_wait=0.01).describe_all([[b"jpeg"]]))
    assert isinstance(answer, Unreachable | Refused)
    assert time.monotonic() - started_at < 3 + BUSY_SECONDS
