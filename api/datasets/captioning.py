"""Captions from a vision model: what they would take, and the task that asks for them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from api.datasets.derivations import DerivationStore
from api.datasets.preprocess_view import STATUSES
from api.datasets.preprocess_views import CaptionEstimate, CaptionGeneration, PreprocessResult, PreprocessStatus
from api.datasets.preprocessing import PreprocessingService
from api.datasets.service import DatasetService, require_own_files
from api.domain.access import Principal
from api.domain.captioning import CaptionSettings
from api.domain.dataset import ManifestItem, PinnedDataset, included_items
from api.domain.task import TASK_ID_KINDS, TaskType
from api.domain.training import GPURequest, NewTask, TaskFilter, TrainingPlan, TrainingRequest
from api.errors import Invalid, Mistake, Unavailable
from api.files.task_files import task_files
from api.jobs.preprocessing.words import CAPTIONING, KEY_VARIABLE
from api.jobs.preprocessing.work import WorkItem
from api.training.task_means import TaskMeans
from api.util.ids import new_task_id
from api.util.secret_files import read_secret_file

_LATEST = 50


@dataclass(frozen=True, slots=True)
class CaptionEndpoint:
    """Who writes captions, as the administrator has said."""

    address: str
    model: str
    key_file: Path | None = None
    per_minute: int = 0
    price: float | None = None  #: of 1,000 captions
    command: tuple[str, ...] = ()  #: a program's arguments in place of an address
    command_seconds: float = 300.0  #: how long that may take for one file


@dataclass(frozen=True, slots=True)
class CaptionWanted:
    """What is wanted of one dataset."""

    prompt: str
    model: str | None = None
    version: str | None = None
    only_missing: bool = True
    frames: int = 4
    max_tokens: int = 300
    message: str | None = None


class CaptioningService:
    """The use cases of `/datasets/{name}/captions/generate`."""

    def __init__(
        self,
        means: TaskMeans,
        datasets: DatasetService,
        preprocessing: PreprocessingService,
        derivations: DerivationStore,
        endpoint: CaptionEndpoint | None,
    ) -> None:
        """`endpoint` None: nobody writes captions here."""
        self._means = means
        self._datasets = datasets
        self._preprocessing = preprocessing
        self._derivations = derivations
        self._endpoint = endpoint

    def generate(
        self, name: str, wanted: CaptionWanted, asks: Principal, idempotency_key: str | None, *, dry_run: bool
    ) -> CaptionGeneration:
        """Tells what it would take, and without `dry_run` makes the task.

        Raises Unavailable without an endpoint, DatasetNotFound, VersionNotFound, DatasetIsRegistered, Invalid,
        QuotaExceeded.
        """
        dataset = self._datasets.find(name)
        require_own_files(dataset)
        settings, version = self._settings(wanted), self._datasets.find_version(dataset, wanted.version)
        items = included_items(self._datasets.read_items(version.manifest_sha256))
        todo, known = self._todo(items, wanted, settings)
        estimate = self._estimate(settings, len(items), len(todo), known)
        if dry_run:
            return CaptionGeneration(dry_run, estimate, None)
        first = self._means.tasks.find_by_key(idempotency_key)
        if first is not None:
            return CaptionGeneration(dry_run, estimate, self._preprocessing.get(first.task_id))
        if not todo and not known:
            what = "Every item has a caption." if wanted.only_missing else "The version has no items."
            raise Invalid(mistakes=[Mistake("/only_missing", what, "Give only_missing: false to write them anew.")])
        pin = PinnedDataset(name, version.ordinal, f"sha256:{version.manifest_sha256}", len(items), dataset.serial)
        new = self._new_task(wanted, settings, pin, len(todo), asks, idempotency_key)
        self._keep_key(new.task_id)
        self._preprocessing.submit(new, dataset, settings.as_json(), todo, asks.actor)
        return CaptionGeneration(dry_run, estimate, self._preprocessing.get(new.task_id))

    def _new_task(
        self,
        wanted: CaptionWanted,
        settings: CaptionSettings,
        pin: PinnedDataset,
        questions: int,
        asks: Principal,
        idempotency_key: str | None,
    ) -> NewTask:
        wish = {
            "model": settings.model,
            "prompt": settings.prompt,
            "only_missing": wanted.only_missing,
            "frames": settings.frames,
            "max_tokens": settings.max_tokens,
            "message": wanted.message,
        }
        given = {"dataset": pin.dataset, "version": pin.version, "manifest": pin.manifest_sha256}
        target = {"name": pin.dataset, "serial": pin.serial}
        config = {"wish": wish, "input": given, "target": target, "settings": settings.as_json()}
        # An endpoint that went away may come back: what it has said is kept meanwhile.
        request = TrainingRequest("", GPURequest(count=0), config=config, max_retries=5)
        plan = TrainingPlan(CAPTIONING, "", 0, total_steps=questions, dataset_items=pin.items, datasets=(pin,))
        task_id = new_task_id(TASK_ID_KINDS[TaskType.PREPROCESSING], self._means.clock.now())
        return NewTask(task_id, CAPTIONING, request, plan, None, idempotency_key, asks.owner, TaskType.PREPROCESSING)

    def _settings(self, wanted: CaptionWanted) -> CaptionSettings:
        """Raises Unavailable, Invalid."""
        if self._endpoint is None:
            raise Unavailable("Nobody writes captions here: neither CAPTION_ENDPOINT nor CAPTION_COMMAND is set.")
        if self._endpoint.command:
            return self._settings_of_command(self._endpoint, wanted)
        model = wanted.model or self._endpoint.model
        if not model:
            raise Invalid(mistakes=[Mistake("/model", "No model is named.", "Name one, or set CAPTION_MODEL.")])
        return CaptionSettings(
            self._endpoint.address,
            model,
            wanted.prompt,
            wanted.max_tokens,
            frames=wanted.frames,
            per_minute=self._endpoint.per_minute,
        )

    @staticmethod
    def _settings_of_command(asked: CaptionEndpoint, wanted: CaptionWanted) -> CaptionSettings:
        # One at a time: it loads a model on this machine.
        return CaptionSettings(
            "",
            wanted.model or asked.model or Path(asked.command[0]).name,
            wanted.prompt,
            parallel=1,
            timeout_seconds=asked.command_seconds,
            command=asked.command,
        )

    def _keep_key(self, task_id: str) -> None:
        """Keeps the key for the task's environment, in a file of its own. Raises OSError."""
        if self._endpoint is not None and self._endpoint.key_file is not None:
            key = read_secret_file(self._endpoint.key_file).content.decode().strip()
            task_files(self._means.storage_root, task_id).keep_secrets({KEY_VARIABLE: key})

    def _todo(
        self, items: list[ManifestItem], wanted: CaptionWanted, settings: CaptionSettings
    ) -> tuple[list[WorkItem], int]:
        """The files to ask about, each once, and how many were answered before."""
        asked = {caption_key(item, settings): item for item in items if is_wanted(item, wanted.only_missing)}
        known = self._derivations.find(asked, self._means.clock.steady.now())
        todo = [
            WorkItem(item.path, item.sha256, item.size_bytes, key) for key, item in asked.items() if key not in known
        ]
        return todo, len(known)

    def _estimate(self, settings: CaptionSettings, items: int, questions: int, known: int) -> CaptionEstimate:
        pace, price = self._pace(settings.model), None if self._endpoint is None else self._endpoint.price
        per_minute = settings.per_minute or None
        seconds = None if pace is None else pace * questions
        if per_minute is not None:
            seconds = max(seconds or 0.0, questions * 60.0 / per_minute)
        return CaptionEstimate(
            endpoint=Path(settings.command[0]).name if settings.command else urlsplit(settings.endpoint).netloc,
            model=settings.model,
            items=items,
            questions=questions + known,
            known=known,
            per_minute=per_minute,
            seconds_per_question=pace,
            estimated_seconds=None if seconds is None else round(seconds, 1),
            estimated_cost=None if price is None else round(price * questions / 1000, 4),
        )

    def _pace(self, model: str) -> float | None:
        """Seconds for a question to this model, by the latest task that asked it."""
        wanted = TaskFilter(STATUSES[PreprocessStatus.COMPLETED])
        for task in self._means.tasks.page(wanted, _LATEST, None, None)[0]:
            if task.trainer == CAPTIONING and task.result is not None and task.result.get("model") == model:
                return PreprocessResult.from_json(task.result).seconds_per_question
        return None


def is_wanted(item: ManifestItem, only_missing: bool) -> bool:
    """Whether a caption is asked for: of every item, or of those without a word."""
    return not only_missing or not (item.caption or "").strip()


def caption_key(item: ManifestItem, settings: CaptionSettings | Mapping[str, Any]) -> str:
    """What names the answer to a question: the file, the model, and what it is asked."""
    kept = settings.as_json() if isinstance(settings, CaptionSettings) else settings
    of_endpoint = ("endpoint", "model", "prompt", "max_tokens", "temperature", "frames")
    # Tasks of an earlier version know no command.
    asked = {name: kept[name] for name in (("command", "model", "prompt") if kept.get("command") else of_endpoint)}
    said = orjson.dumps(["caption", item.sha256, asked], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).hexdigest()
