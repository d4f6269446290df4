"""Rankings of saved models by the ratings of their samples."""

import math

from api.jobs.sampling.request import SampleRecord
from api.samples.grid import arrange, rank_models
from api.samples.views import RankedModel, SampleRanking
from api.training.records.sample_store import StoredSample
from tests.unit.db.builders import NOW


def sample(checkpoint: str | None, prompt: int, rating: int | None = None, strength: float = 1.0) -> StoredSample:
    record = SampleRecord(checkpoint, prompt, 1, strength if checkpoint else 0.0, "a.png", "a" * 64)
    return StoredSample("train_1", "sample_1", record, f"settings {prompt}", f"prompt {prompt}", None, NOW, rating)


def ranking(**ratings: list[int | None]) -> SampleRanking:
    """Return the ranking of models with these ratings of prompts 0, 1, 2 …; `base` is the base model."""
    samples = [
        sample(None if name == "base" else name, prompt, rating)
        for name, found in ratings.items()
        for prompt, rating in enumerate(found)
    ]
    return rank_models(arrange(samples, [name for name in ratings if name != "base"]))


def by_name(found: SampleRanking) -> dict[str | None, RankedModel]:
    return {model.checkpoint: model for model in found.models}


def test_models_are_ordered_by_rating_and_a_clear_lead_is_certain():
    found = ranking(epoch1=[2] * 10, epoch2=[5] * 10, epoch3=[3] * 10)
    assert [(model.rank, model.checkpoint) for model in found.models] == [(1, "epoch2"), (2, "epoch3"), (3, "epoch1")]
    assert (found.verdict, [model.is_worse for model in found.models]) == ("clear", [None, True, True])
    assert "epoch2" in found.summary


def test_small_or_rare_differences_are_not_certain():
    found = ranking(epoch1=[4, 4, 5, 4], epoch2=[5, 4, 5, 4])
    assert (found.verdict, found.models[0].checkpoint, found.models[1].is_worse) == ("uncertain", "epoch2", False)
    assert "not certain" in found.summary
    assert ranking(epoch1=[1, 1, 1], epoch2=[5, 5, 5]).verdict == "uncertain"


def test_more_compared_models_need_more_evidence():
    lead = [4] * 6
    assert ranking(a1=[3] * 6, a2=lead).verdict == "clear"
    others = {f"b{n}": [3] * 6 for n in range(10)}
    assert ranking(**others, a2=lead).verdict == "uncertain"


def test_one_lucky_picture_does_not_win():
    found = ranking(epoch1=[5], epoch2=[5, 5, 5, 4, 5])
    assert found.models[0].checkpoint == "epoch2"
    lucky = by_name(found)["epoch1"]
    assert lucky.mean == 5
    assert lucky.low is not None
    assert lucky.low < 3


def test_interval_shrinks_with_ratings_and_stays_on_the_scale():
    few, many = by_name(ranking(few=[4, 3], many=[4, 3] * 20)).values()
    widths = {model.checkpoint: (model.high or 0) - (model.low or 0) for model in (few, many)}
    assert widths["many"] < widths["few"] / 2
    assert all(0 <= (model.low or 0) <= (model.score or 0) <= (model.high or 9) <= 5 for model in (few, many))


def test_rejected_sample_counts_as_0():
    found = by_name(ranking(epoch1=[0, 4], epoch2=[3, 3]))
    assert (found["epoch1"].rejected, found["epoch1"].mean, found["epoch2"].rejected) == (1, 2, 0)


def test_unrated_models_come_last_without_figures():
    found = ranking(epoch1=[None, None], epoch2=[3, None])
    assert found.verdict == "too_few"
    last = found.models[-1]
    assert (last.checkpoint, last.samples, last.rated) == ("epoch1", 2, 0)
    assert (last.rank, last.mean, last.low) == (None, None, None)
    assert ranking().verdict == "too_few"


def test_base_model_is_compared_with_every_strength():
    samples = [sample(None, 0, 1), sample("epoch1", 0, 4), sample("epoch1", 0, 2, strength=0.5)]
    grid = arrange(samples, ["epoch1"])
    assert grid.columns == (("settings 0", 1.0), ("settings 0", 0.5))
    found = by_name(rank_models(grid))
    assert found[None].rated == 2
    assert math.isclose(found["epoch1"].mean or 0, 3)


def test_rows_are_the_base_model_then_deleted_models_then_saved_ones():
    samples = [sample(name, 0) for name in ("epoch2", "epoch10", "gone", None)]
    assert arrange(samples, ["epoch2", "epoch10", "unsampled"]).rows == ("", "gone", "epoch2", "epoch10")


def test_hundreds_of_prompts_are_compared():
    assert ranking(epoch1=[3, 4] * 200, epoch2=[4, 5] * 200).verdict == "clear"
