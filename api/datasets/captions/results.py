"""Record generated captions: make a new version with them and list the differences."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from api.datasets.captions.generation import caption_key, is_wanted
from api.datasets.preparation.output_items import Tally
from api.datasets.preparation.results import find_target
from api.datasets.preparation.views import PreprocessResult
from api.datasets.records.derivations import DerivationStore
from api.datasets.service import DatasetService, Derived
from api.datasets.views import CaptionDifference
from api.domain.access.principal import API_ACTOR
from api.domain.datasets.dataset import MAX_CAPTION, ManifestItem, included_items
from api.domain.tasks.training import TrainingTask
from api.errors import DatasetChanged
from api.files.task_files import task_files, write_private
from api.training.attempts.task_results import TaskResult
from api.util.clock import Clock
from api.util.files.foreign_files import read
from api.util.files.foreign_trees import remove_tree

#: Most differences in a result.
MOST_SHOWN = 50

_TRIES = 8


class CaptionResultRecorder:
    """Reads the answers of the model, stores them, and creates the version. Used by one thread."""

    def __init__(
        self, datasets: DatasetService, derivations: DerivationStore, clock: Clock, storage_root: Path
    ) -> None:
        self._datasets = datasets
        self._derivations = derivations
        self._clock = clock
        self._storage_root = storage_root

    def record(self, task: TrainingTask, output_dir: Path) -> TaskResult:
        """Return the result. Raises ServiceError, OSError; ValueError if no caption was generated."""
        record_path = task_files(self._storage_root, task.task_id).root / "harvest.json"
        with suppress(FileNotFoundError):
            return TaskResult(orjson.loads(read(str(record_path), levels=1)))
        wanted, given = task.request.config["wish"], task.request.config["input"]
        items = included_items(self._datasets.read_items(given["manifest"]))
        captions, tally = self._collect(task, items, output_dir / "made")
        if not captions:
            first = tally.problems[0].problem if tally.problems else "no item needed one"
            raise ValueError(f"None of {tally.problem_count:,} captions could be generated. The first error: {first}.")
        result = self._add_version(task, wanted, captions, tally)
        record = {**asdict(result), "model": wanted["model"]}
        content = orjson.dumps(record)
        write_private(record_path, content, levels=1)
        for name in ("made", "sources"):
            remove_tree(str(output_dir / name), levels=3)
        return TaskResult(orjson.loads(content))

    def _collect(self, task: TrainingTask, items: Sequence[ManifestItem], made: Path) -> tuple[dict[str, str], Tally]:
        """Return the captions by the hash of their file, and a tally with the problems."""
        settings, only_missing = task.request.config["settings"], task.request.config["wish"]["only_missing"]
        questions = {caption_key(item, settings): item for item in items if is_wanted(item, only_missing)}
        known = self._derivations.find(questions, self._clock.steady.now())
        captions, tally, fresh = dict[str, str](), Tally(), dict[str, Any]()
        for key, item in questions.items():
            if key in known:
                captions[item.sha256] = str(known[key]["caption"])
                tally.reused += 1
                continue
            caption, problem = _read(made / f"{key}.caption.json")
            if caption is None:
                tally.note_problem(item.path, problem)
                continue
            captions[item.sha256] = caption
            fresh[key] = {"caption": caption}
            tally.made += 1
        self._derivations.keep(fresh, self._clock.steady.now())
        return captions, tally

    def _add_version(
        self, task: TrainingTask, wanted: Mapping[str, Any], captions: Mapping[str, str], tally: Tally
    ) -> PreprocessResult:
        """Write the captions into the newest version; later edits stay, except of these captions."""
        for _ in range(_TRIES):
            dataset = find_target(self._datasets, task)
            latest = self._datasets.find_version(dataset)
            items = list(self._datasets.read_items(latest.manifest_sha256))
            edited, differences = _write(items, captions, only_missing=wanted["only_missing"])
            message = wanted["message"] or f"{len(differences):,} captions by {wanted['model']}"
            with suppress(DatasetChanged):
                version = self._datasets.add_version(
                    dataset,
                    edited,
                    task.owner or API_ACTOR,
                    message,
                    expected_latest=latest.ordinal,
                    origin={"task": task.task_id, "from": f"{dataset.name}@{latest.ordinal}", "work": "captioning"},
                    derived=Derived.of(latest.manifest_sha256, items, edited),
                )
                return PreprocessResult(
                    dataset.name,
                    version.ordinal,
                    f"{dataset.name}@{version.ordinal}",
                    f"sha256:{version.manifest_sha256}",
                    len(edited),
                    made=tally.made,
                    reused=tally.reused,
                    unchanged=len(edited) - len(differences),
                    problem_count=tally.problem_count,
                    problems=tuple(tally.problems),
                    previous=latest.ordinal,
                    differences=tuple(differences[:MOST_SHOWN]),
                    difference_count=len(differences),
                    seconds_per_question=self._pace(task, tally.made),
                )
        raise ValueError(f"Other edits of {dataset.name} kept preventing the new version. Start the task again.")

    def _pace(self, task: TrainingTask, made: int) -> float | None:
        if not made or task.started_at is None:
            return None
        return round((self._clock.now() - task.started_at).total_seconds() / made, 3)


def _write(
    items: Sequence[ManifestItem], captions: Mapping[str, str], *, only_missing: bool
) -> tuple[list[ManifestItem], list[CaptionDifference]]:
    edited: list[ManifestItem] = []
    differences: list[CaptionDifference] = []
    for item in items:
        caption = captions.get(item.sha256)
        if caption is None or caption == item.caption or not is_wanted(item, only_missing):
            edited.append(item)
            continue
        edited.append(replace(item, caption=caption))
        differences.append(CaptionDifference(item.item_id, item.path, item.caption, caption))
    return edited, differences


def _read(path: Path) -> tuple[str | None, str]:
    """Return the caption, or None and the reason."""
    try:
        answer = orjson.loads(read(str(path)))
        caption, problem = answer["caption"], answer["problem"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None, "there is no answer"
    if isinstance(caption, str) and caption.strip():
        return caption[:MAX_CAPTION], ""
    return None, str(problem)[:500]
