"""Requests derived from a training's: a rehearsal with two representative items, and an export in one step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.domain.tasks.rehearsal import PlannedRehearsal, RehearsedItem
from api.domain.tasks.training import PlannedOutputs, TrainingPlan, TrainingRequest
from api.errors import ExportUnsupported
from api.trainers.diffusion_pipe.config import config_files, paths
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.dataset.buckets import Bucket
from api.trainers.diffusion_pipe.dataset.totals import Item, Share, Totals, count_steps
from api.trainers.toml_text import edit
from api.trainers.trainer import STEPS, ItemFolders, Rehearsal, own_folders

#: Factor by which the work of two items may differ in steps that count alike.
_ALIKE = 1.3

#: Keys of the configuration that a derived request does not take over, and their beginnings.
_LEFT_OUT = ("max_steps", "monitoring", "resume_from_checkpoint")
_LEFT_OUT_GROUPS = ("save_every_n_", "checkpoint_every_n_", "eval_")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An item that represents all of its shape in a directory."""

    share: Share
    item: Item
    buckets: tuple[Bucket, ...]
    largest: float  #: pixels times frames times examples of its largest micro batch, on which memory depends
    mean: float  #: the same, as a mean over its steps

    def repeated(self, examples: int) -> RehearsedItem:
        """Return the item, repeated so that it gives this number of examples."""
        # The trainer rounds down.
        return RehearsedItem(self.share.directory, self.item.name, (examples + 0.25) / self.item.captions)

    def share_of(self, repeated: RehearsedItem) -> Share:
        return Share(self.share.bucketing, [self.item], repeated.num_repeats)


@dataclass(frozen=True, slots=True)
class ChosenItems:
    """The items of a rehearsal, its steps and its size buckets (width, height, frames)."""

    items: tuple[RehearsedItem, ...]
    steps: int
    buckets: tuple[tuple[int, int, int], ...]
    first_weight: float | None
    is_uniform: bool


def choose_items(shares: Sequence[Share], batches: Batches) -> ChosenItems | None:
    """Choose an item of the largest size bucket, and one that stands for the other steps. None: there is none."""
    totals = count_steps(shares, batches)
    candidates = list(_candidates(shares, batches, totals))
    if not candidates:
        return None
    first = max(candidates, key=lambda each: each.largest)
    mean = _mean_work(totals, batches)
    others = [each for each in candidates if each is not first] or list(_second_of(first, shares))
    second = min(others, key=lambda each: abs(each.mean - mean), default=None)
    chosen = [first] if second is None else [first, second]
    sizes = [{batches.size_for(*map(int, bucket[-3:])) for bucket in each.buckets} for each in chosen]
    count = -(-STEPS // len({bucket for each in chosen for bucket in each.buckets}))
    examples = [count * max(size) for size in sizes]
    if second is not None and set(first.buckets) == set(second.buckets):
        # Both fill the same steps.
        examples = [examples[0] - examples[0] // 2, max(1, examples[0] // 2)]
    items = tuple(each.repeated(number) for each, number in zip(chosen, examples, strict=True))
    made = count_steps([each.share_of(item) for each, item in zip(chosen, items, strict=True)], batches)
    buckets = tuple((int(one.bucket[-3]), int(one.bucket[-2]), int(one.bucket[-1])) for one in made.counts if one.steps)
    work = [_work(one.bucket, batches) for one in made.counts if one.steps]
    return ChosenItems(items, made.steps_per_epoch, buckets, _weigh(chosen, mean), max(work) <= _ALIKE * min(work))


def _candidates(shares: Sequence[Share], batches: Batches, totals: Totals) -> Iterator[_Candidate]:
    trained = {count.bucket for count in totals.counts if count.steps}
    for share in shares:
        shapes: dict[tuple[int, int, int], Item] = {}
        for item in share.items:
            if item.captions:
                shapes.setdefault((item.width, item.height, item.frames), item)
        for shape, item in shapes.items():
            buckets = share.bucketing.sort(*shape)
            if not trained.isdisjoint(buckets):
                yield _candidate(share, item, buckets, batches)


def _candidate(share: Share, item: Item, buckets: tuple[Bucket, ...], batches: Batches) -> _Candidate:
    work = [_work(bucket, batches) for bucket in buckets]
    # All resolutions have the same examples, so larger batches mean fewer steps.
    weights = [1 / batches.size_for(*map(int, bucket[-3:])) for bucket in buckets]
    mean = sum(each * weight for each, weight in zip(work, weights, strict=True)) / sum(weights)
    return _Candidate(share, item, buckets, max(work), mean)


def _second_of(first: _Candidate, shares: Sequence[Share]) -> Iterator[_Candidate]:
    """Yield another item of the same shape, if there is one."""
    shape = (first.item.width, first.item.height, first.item.frames)
    for share in shares:
        if share.directory == first.share.directory:
            others = (item for item in share.items if item.captions and item.name != first.item.name)
            same = next((item for item in others if (item.width, item.height, item.frames) == shape), None)
            if same is not None:
                yield replace(first, item=same)


def _work(bucket: Bucket, batches: Batches) -> float:
    width, height, frames = (int(part) for part in bucket[-3:])
    return width * height * frames * batches.micro_for(width, height, frames)


def _mean_work(totals: Totals, batches: Batches) -> float:
    steps = sum(count.steps for count in totals.counts)
    return sum(count.steps * _work(count.bucket, batches) for count in totals.counts) / max(1, steps)


def _weigh(chosen: Sequence[_Candidate], mean: float) -> float | None:
    """Return the weight of the first item's steps. The time of a step is taken to grow linearly with its work."""
    if len(chosen) < 2 or any(len(each.buckets) > 1 for each in chosen):
        return None
    first, second = chosen
    if first.mean <= _ALIKE * second.mean:
        return None
    return min(1.0, max(0.0, (mean - second.mean) / (first.mean - second.mean)))


def rehearse(request: TrainingRequest, planned: PlannedRehearsal, directory: Path, root: Path | None) -> Rehearsal:
    """Return the request for the planned items, which lie in this directory. Raise ValueError if it cannot be read."""
    config, dataset = config_files.read_checked(request)
    values = {
        name: value
        for name, value in config.values.items()
        if name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_GROUPS)
    }
    directories, sources = [], []
    for index, item in enumerate(planned.items):
        own = dataset.values["directory"][item.directory]
        source = _folders_of(own, root)
        folders = own_folders(directory, index, source).as_values()
        directories.append({**own, **folders, "num_repeats": item.num_repeats})
        sources.append(source)
    above = {name: value for name, value in dataset.values.items() if name not in ("directory", "subsample_ratio")}
    derived = replace(
        request,
        config={**values, "epochs": 1, "save_every_n_epochs": 1, "steps_per_print": 1},
        dataset={**above, "directory": directories},
        config_toml=None,
        dataset_toml=None,
        regenerate_cache=False,
        trust_cache=False,
    )
    return Rehearsal(derived, tuple(sources))


def _folders_of(own: dict[str, Any], root: Path | None) -> ItemFolders:
    found = [None if not own.get(name) else paths.resolve(own[name], root) for name in _FOLDERS]
    if found[0] is None:
        raise ValueError("The directory of an item is unknown.")
    return ItemFolders(found[0], found[1], found[2])


_FOLDERS = ("path", "mask_path", "control_path")


def plan_rehearsal(
    whole: TrainingPlan, chosen: ChosenItems, kept: int | None, checkpoint_minutes: float | None = None
) -> TrainingPlan:
    """Return the plan of a rehearsal for the plan of the whole training. Of its checkpoints, `kept` are not deleted."""
    saved, checkpoints = whole.saved_models, whole.checkpoints
    count = None if checkpoints is None else checkpoints.count
    planned = PlannedRehearsal(
        items=chosen.items,
        total_steps=whole.total_steps,
        dataset_items=whole.dataset_items,
        saved_models=None if saved is None else saved.count,
        checkpoints=count,
        stored_checkpoints=min((each for each in (count, kept) if each is not None), default=None),
        checkpoint_minutes=checkpoint_minutes,
        checkpoint_steps=next(iter(() if checkpoints is None else checkpoints.steps), None),
        first_weight=chosen.first_weight,
        is_uniform=chosen.is_uniform,
    )
    single = PlannedOutputs(1, (chosen.steps,))
    return replace(
        whole,
        epochs=1,
        steps_per_epoch=chosen.steps,
        total_steps=chosen.steps,
        max_steps=None,
        dataset_items=len(chosen.items),
        caches=(),
        evaluates=False,
        evaluations=None,
        saved_models=single,
        checkpoints=single,
        rehearsal=planned,
    )


def one_step(request: TrainingRequest, step: int) -> TrainingRequest:
    """Return the request of a training that saves a model at this step and ends. Raise ExportUnsupported."""
    try:
        config, _ = config_files.read_checked(request)
    except ValueError:
        raise ExportUnsupported("The configuration of this training can no longer be read.") from None
    own: dict[str, Any] = {"save_every_n_steps": 1, "max_steps": step, "steps_per_print": 1}
    left_out = [name for name in config.values if name in _LEFT_OUT or name.startswith(_LEFT_OUT_GROUPS)]
    if request.config_toml is None:
        kept = {name: value for name, value in config.values.items() if name not in left_out}
        return replace(request, config=kept | own)
    removed = [name for name in left_out if name not in own]
    edited = edit(request.config_toml, {(name,): value for name, value in own.items()}, removed)
    if edited is None:
        raise ExportUnsupported(
            "The service cannot change save_every_n_steps and max_steps in this training's text. Resume the training "
            "with a simpler text, then export the checkpoint again."
        )
    return replace(request, config_toml=edited)
