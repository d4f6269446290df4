import json
from datetime import UTC, datetime
from typing import Any

import pytest

from api.catalog.registry.model_card import CardFacts, CardSample, write_card
from api.catalog.registry.models import ModelVersion, RegisteredModel
from api.jobs.pushes.request import CARD_MARK
from api.trainers.diffusion_pipe.base_models import CATALOG

NOW = datetime(2026, 11, 26, tzinfo=UTC)
FORMAT = {"kind": "lora", "rank": 32, "dtype": "BF16", "parameters": 1_000_000, "base_model": "flux", "readers": []}
ORIGIN = {"epoch": 12, "step": None, "loss": 0.0625, "eval_loss": None, "trainer_commit": "8f83dbf"}


def card(facts: CardFacts | None = None, *samples: CardSample, description: str = "", **more: Any) -> str:
    model = RegisteredModel(1, "cats", "ann", description or None, ("animals",), NOW, NOW, 1)
    given: dict[str, Any] = {"origin": ORIGIN, "format": FORMAT, "notes": None, "tags": ()}
    given |= more
    version = ModelVersion(3, "a" * 64, 10, NOW, "ann", "cats-v3.safetensors", **given)
    return write_card(model, version, "cats-v3.safetensors", facts or CardFacts(), CATALOG, samples)


def head(text: str) -> dict[str, Any]:
    lines = text.split("---\n")[1].splitlines()
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in lines)}


def test_card_has_known_facts_only():
    text = card()
    assert "| Loss there | 0.0625 |" in text
    assert "| Trainer commit | 8f83dbf |" in text
    assert "Evaluation" not in text
    assert "None" not in text
    assert CARD_MARK in text
    assert head(text) == {"pipeline_tag": "text-to-image", "tags": ["lora", "diffusion-pipe", "flux", "animals"]}


def test_header_has_the_facts_of_the_request():
    found = head(card(CardFacts("apache-2.0", "black-forest-labs/FLUX.1-dev", "ohwx cat")))
    assert (found["license"], found["base_model"]) == ("apache-2.0", "black-forest-labs/FLUX.1-dev")
    assert (found["base_model_relation"], found["instance_prompt"]) == ("adapter", "ohwx cat")


def test_trigger_is_that_of_the_files_header():
    text = card(format={**FORMAT, "metadata": {"modelspec.trigger_phrase": "ohwx"}})
    assert head(text)["instance_prompt"] == "ohwx"


def test_unknown_model_has_a_card_too():
    assert head(card(format={}, origin={})) == {"tags": ["diffusion-pipe", "animals"]}


def test_samples_are_shown_and_listed_in_the_header():
    text = card(CardFacts(), CardSample("samples/1.png", "a cat"))
    assert "![a cat](<samples/1.png>)" in text
    assert head(text)["widget"] == [{"text": "a cat", "output": {"url": "samples/1.png"}}]


@pytest.mark.parametrize("hostile", ["---\nlicense: mit", "<script>x</script>", "[a](javascript:x)", "| x |\n# y"])
def test_texts_of_users_are_escaped(hostile: str):
    text = card(CardFacts(trigger=hostile), description=hostile, notes=hostile)
    body = text.split("---\n", 2)[2]
    assert "license" not in head(text)
    assert "\n# y" not in text
    assert "<script>" not in body.replace("`<script>x</script>`", "")
    shown = body.replace(f"`{hostile}`", "").replace("\\]", "")
    assert "](javascript" not in shown
