"""Which items a rehearsal takes, how many steps they give, and what its request leaves out."""

from pathlib import Path

import pytest

from api.domain.tasks.rehearsal import PlannedRehearsal, RehearsedItem
from api.domain.tasks.training import PlannedOutputs, TrainingPlan, TrainingRequest
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.dataset.buckets import Bucketing
from api.trainers.diffusion_pipe.dataset.totals import Item, Share
from api.trainers.diffusion_pipe.plan.rehearsal import choose_items, plan_rehearsal, rehearse

SQUARE = Bucketing(resolutions=(512,))
CLIPS = Bucketing(resolutions=(512,), frames=(1, 33, 65))


def names(share: Share, *others: Share, batches: Batches | None = None) -> list[str]:
    chosen = choose_items([share, *others], batches or Batches())
    assert chosen is not None
    return [item.name for item in chosen.items]


def test_first_item_has_the_largest_bucket_and_the_second_stands_for_the_other_steps():
    clips = [Item(512, 512, 70, name="longest"), *(Item(512, 512, 40, name=f"clip{n}") for n in range(9))]
    share = Share(CLIPS, [*clips, Item(512, 512, name="still")])
    assert names(share) == ["longest", "clip0"]
    chosen = choose_items([share], Batches())
    assert chosen is not None
    assert chosen.buckets == ((512, 512, 65), (512, 512, 33))
    # The mean work of a step is (65 + 9 * 33 + 1) / 11 = 33 frames.
    assert chosen.first_weight == pytest.approx(0, abs=0.01)


def test_weight_of_the_first_item_follows_the_mean_work():
    share = Share(CLIPS, [Item(512, 512, 65, name="a"), Item(512, 512, 1, name="b"), Item(512, 512, 1, name="c")])
    chosen = choose_items([share], Batches())
    assert chosen is not None
    assert chosen.first_weight == pytest.approx(1 / 3)


def test_items_of_dropped_buckets_are_not_chosen():
    items = [Item(512, 512, 65, name="alone"), *(Item(512, 512, 33, name=f"clip{n}") for n in range(4))]
    assert names(Share(CLIPS, items), batches=Batches(accumulation=2)) == ["clip0", "clip1"]


def test_single_item_is_rehearsed_alone():
    chosen = choose_items([Share(SQUARE, [Item(512, 512, name="only")])], Batches())
    assert chosen is not None
    assert ([item.name for item in chosen.items], chosen.steps, chosen.first_weight) == (["only"], 8, None)


def test_dataset_without_examined_items_has_nothing_to_rehearse():
    assert choose_items([Share(SQUARE, [])], Batches()) is None
    assert choose_items([], Batches()) is None


@pytest.mark.parametrize(
    ("bucketing", "batches", "steps"),
    [
        (SQUARE, Batches(), 8),
        (SQUARE, Batches(accumulation=5, replicas=2), 8),
        (SQUARE, Batches(videos=((0, 7),), images=((0, 7),), accumulation=3), 8),
        (Bucketing(resolutions=(256, 512)), Batches(), 8),
        (Bucketing(resolutions=(256, 512, 768)), Batches(), 9),
        (Bucketing(resolutions=(512, 1024)), Batches(images=((512, 4), (1024, 1))), 20),
    ],
)
def test_steps_are_few_and_fill_whole_batches(bucketing: Bucketing, batches: Batches, steps: int):
    items = [Item(640, 640, captions=3, name=f"{n}") for n in range(200)]
    chosen = choose_items([Share(bucketing, items)], batches)
    assert chosen is not None
    assert (chosen.steps, len(chosen.items)) == (steps, 2)


def test_request_keeps_what_sets_memory_and_pace_and_leaves_out_the_rest():
    config = {
        "epochs": 50,
        "max_steps": 1000,
        "gradient_accumulation_steps": 4,
        "save": {"every_n_steps": 100, "checkpoint_every_n_minutes": 10},
        "eval": {"datasets": [{"name": "held", "config": "x.toml"}], "every_n_epochs": 1},
        "monitoring": {"enable_wandb": True, "wandb_api_key": "***"},
        "model": {"type": "flux", "diffusers_path": "/m", "dtype": "bfloat16"},
        "optimizer": {"type": "adamw", "lr": 1e-4},
    }
    directory = {"path": "pictures", "mask_path": "/masks", "num_repeats": 9}
    dataset = {"resolutions": [512], "subsample_ratio": 0.1, "directories": [{"path": "/other"}, directory]}
    request = TrainingRequest("flux", config=config, dataset=dataset, trust_cache=True, rehearsal=True)
    planned = PlannedRehearsal((RehearsedItem(1, "a.png", 4.0),))
    found = rehearse(request, planned, Path("/task/datasets"), Path("/trainer"))
    assert found.request.config == {
        "epochs": 1,
        "gradient_accumulation_steps": 4,
        "save_every_n_epochs": 1,
        "steps_per_print": 1,
        "model": config["model"],
        "optimizer": config["optimizer"],
    }
    own = {"path": "/task/datasets/0/media", "mask_path": "/task/datasets/0/masks", "num_repeats": 4.0}
    assert found.request.dataset == {"resolutions": [512], "directory": [own]}
    assert [(source.media, source.masks) for source in found.sources] == [(Path("/trainer/pictures"), Path("/masks"))]
    assert found.request.trust_cache is False


def test_plan_has_the_checkpoints_by_time_beside_those_of_epochs():
    chosen = choose_items([Share(SQUARE, [Item(512, 512, name="only")])], Batches())
    assert chosen is not None
    whole = TrainingPlan("diffusion_pipe", "flux", 1, checkpoints=PlannedOutputs(None, (40, 80, 100)))
    planned = plan_rehearsal(whole, chosen, None, 15.0).rehearsal
    assert planned is not None
    assert (planned.checkpoints, planned.checkpoint_minutes, planned.checkpoint_steps) == (None, 15.0, 40)
