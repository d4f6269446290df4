"""Several samplers as one: the next one continues if one is unavailable."""

from pathlib import Path

import pytest

from api.jobs.sampling.sampler import FakeSampler, Rotation, SamplerProblem, SamplerUnavailable, Shot

SHOT = Shot("lora", 1.0, "a cat", None, 1)


def away(shot: Shot) -> None:
    raise SamplerUnavailable("It does not answer.")


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "lora.safetensors"
    path.write_text("x")
    return path


def test_next_sampler_gets_the_lora_and_continues(lora: Path):
    first, second = FakeSampler(version="1"), FakeSampler(version="2")
    both = Rotation([first, second])
    both.prepare()
    both.add_lora(lora, "lora")
    both.render(SHOT)
    assert (both.version, second.loras) == ("1", {})
    first.before = away
    both.render(SHOT)
    both.render(SHOT)
    assert (both.version, len(first.shots), len(second.shots)) == ("2", 1, 2)
    both.remove_lora("lora")
    assert first.loras == second.loras == {}


def test_no_available_sampler_and_a_problem_of_one(lora: Path):
    first, second = FakeSampler(before=away), FakeSampler(before=away)
    both = Rotation([first, second])
    both.add_lora(lora, "lora")
    with pytest.raises(SamplerUnavailable):
        both.render(SHOT)

    def refuse(shot: Shot) -> None:
        raise SamplerProblem("Out of memory.")

    first.before = refuse
    with pytest.raises(SamplerProblem, match="Out of memory"):
        both.render(SHOT)
    assert second.shots == []
