"""Several samplers as one: the next one continues if one is unavailable."""

from pathlib import Path

import pytest

from api.jobs.sampling.sampler import FakeSampler, Rotation, Sampler, SamplerProblem, SamplerUnavailable, Shot

SHOT = Shot("lora", 1.0, "a cat", None, 1)


def away(shot: Shot) -> None:
    raise SamplerUnavailable("It does not answer.")


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "lora.safetensors"
    path.write_text("x")
    return path


def render(samplers: Rotation) -> str:
    """Render with the present sampler, and return its server."""

    def act(sampler: Sampler) -> str:
        sampler.render(SHOT)
        return sampler.server

    return samplers.use(act)


def test_next_sampler_gets_the_lora_and_continues(lora: Path):
    first, second = FakeSampler("1"), FakeSampler("2")
    both = Rotation([first, second])
    both.prepare()
    both.add_lora(lora, "lora")
    assert (render(both), second.loras) == ("1", {})
    first.before = away
    assert [render(both), render(both)] == ["2", "2"]
    assert (len(first.shots), len(second.shots)) == (1, 2)
    both.remove_lora("lora")
    assert first.loras == second.loras == {}


def test_no_available_sampler_and_a_problem_of_one(lora: Path):
    first, second = FakeSampler(before=away), FakeSampler(before=away)
    both = Rotation([first, second])
    both.add_lora(lora, "lora")
    with pytest.raises(SamplerUnavailable):
        render(both)

    def refuse(shot: Shot) -> None:
        raise SamplerProblem("Out of memory.")

    first.before = refuse
    with pytest.raises(SamplerProblem, match="Out of memory"):
        render(both)
    assert second.shots == []


def test_sampler_that_comes_back_is_prepared_again(lora: Path, monkeypatch: pytest.MonkeyPatch):
    only = FakeSampler("version 1")
    monkeypatch.setattr(only, "prepare", lambda: setattr(only, "server", next(versions)))
    versions = iter(["version 1", "version 2"])
    one = Rotation([only])
    one.prepare()
    one.add_lora(lora, "lora")
    only.before = away
    with pytest.raises(SamplerUnavailable):
        render(one)
    only.before = lambda shot: None
    assert [render(one), render(one)] == ["version 2", "version 2"]
