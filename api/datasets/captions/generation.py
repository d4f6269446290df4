"""Captions from a vision model: the estimate, and the task that generates them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from api.datasets.preparation.service import PreprocessingService
from api.datasets.preparation.views import (
    STATUSES,
    CaptionEstimate,
    CaptionGeneration,
    PreprocessResult,
    PreprocessStatus,
)
from api.datasets.records.derivations import DerivationStore
from api.datasets.service import DatasetService, require_own_files
from api.domain.access.principal import Principal
from api.domain.datasets.captioning import CaptionRequest, CaptionSettings
from api.domain.datasets.dataset import ManifestItem, PinnedDataset, included_items
from api.domain.finding import make_finding
from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.domain.tasks.training import GPURequest, NewTask, TaskFilter, TrainingPlan, TrainingRequest
from api.errors import FindingText, Invalid, Unavailable
from api.jobs.kinds import CAPTION_KEY_VARIABLE, CAPTIONING
from api.jobs.preprocessing.work import WorkItem
from api.training.task_resources import TaskResources
from api.util.files.outside_files import read_secret_file
from api.util.text.ids import new_task_id

_LATEST = 50


@dataclass(frozen=True, slots=True)
class CaptionEndpoint:
    """The administrator's settings for generating captions."""

    address: str
    model: str
    key_file: Path | None = None
    key: str | None = field(default=None, repr=False)  #: in place of a file
    per_minute: int = 0
    price: float | None = None  #: price of 1,000 captions
    command: tuple[str, ...] = ()  #: program and arguments in place of an address
    command_seconds: float = 300.0  #: time limit of the program for one file


class CaptioningService:
    """Use cases of `/datasets/{name}/captions/generate`."""

    def __init__(
        self,
        context: TaskResources,
        datasets: DatasetService,
        preprocessing: PreprocessingService,
        derivations: DerivationStore,
        endpoint: CaptionEndpoint | None,
    ) -> None:
        """Create the service. `endpoint` None: captions cannot be generated."""
        self._context = context
        self._datasets = datasets
        self._preprocessing = preprocessing
        self._derivations = derivations
        self.endpoint = endpoint  #: may change at run time

    def generate(
        self, name: str, wanted: CaptionRequest, principal: Principal, idempotency_key: str | None, *, dry_run: bool
    ) -> CaptionGeneration:
        """Estimate the work, and without `dry_run` start the task.

        Raises Unavailable without an endpoint; DatasetNotFound, VersionNotFound, DatasetIsRegistered, Invalid,
        QuotaExceeded.
        """
        dataset = self._datasets.find(name)
        require_own_files(dataset)
        # Read once: an administrator may replace the address and its key meanwhile, and a key belongs to one address.
        endpoint = self.endpoint
        if endpoint is None:
            raise Unavailable("Captions cannot be generated: set CAPTION_ENDPOINT or CAPTION_COMMAND.")
        settings, version = self._settings(endpoint, wanted), self._datasets.find_version(dataset, wanted.version)
        items = included_items(self._datasets.read_items(version.manifest_sha256))
        todo, known = self._todo(items, wanted, settings)
        estimate = self._estimate(settings, len(items), len(todo), known, endpoint.price)
        if dry_run:
            return CaptionGeneration(dry_run, estimate, None)
        first = self._context.tasks.find_by_key(idempotency_key)
        if first is not None:
            return CaptionGeneration(dry_run, estimate, self._preprocessing.get(first.task_id))
        if not todo and not known:
            problem = (
                FindingText(
                    "all_items_have_captions",
                    "Every item has a caption.",
                    "Set only_missing: false to rewrite all captions.",
                )
                if wanted.only_missing
                else FindingText(
                    "version_without_items",
                    "The version has no items.",
                    "Set only_missing: false to rewrite all captions.",
                )
            )
            raise Invalid(mistakes=[make_finding("/only_missing", problem)])
        pin = PinnedDataset(name, version.ordinal, f"sha256:{version.manifest_sha256}", len(items), dataset.serial)
        new = self._new_task(wanted, settings, pin, len(todo), principal, idempotency_key)
        self._keep_key(endpoint, new.task_id)
        self._preprocessing.submit(new, dataset, settings.as_json(), todo, principal.actor)
        return CaptionGeneration(dry_run, estimate, self._preprocessing.get(new.task_id))

    def _new_task(
        self,
        wanted: CaptionRequest,
        settings: CaptionSettings,
        pin: PinnedDataset,
        questions: int,
        principal: Principal,
        idempotency_key: str | None,
    ) -> NewTask:
        request_fields = {
            "model": settings.model,
            "prompt": settings.prompt,
            "only_missing": wanted.only_missing,
            "frames": settings.frames,
            "max_tokens": settings.max_tokens,
            "message": wanted.message,
        }
        given = {"dataset": pin.dataset, "version": pin.version, "manifest": pin.manifest_sha256}
        target = {"name": pin.dataset, "serial": pin.serial}
        config = {"wish": request_fields, "input": given, "target": target, "settings": settings.as_json()}
        # An endpoint may be down for a while; its earlier answers are stored meanwhile.
        request = TrainingRequest("", GPURequest(count=0), config=config, max_retries=5)
        plan = TrainingPlan(CAPTIONING, "", 0, total_steps=questions, dataset_items=pin.items, datasets=(pin,))
        task_id = new_task_id(TASK_ID_KINDS[TaskType.PREPROCESSING], self._context.clock.now())
        return NewTask(
            task_id, CAPTIONING, request, plan, None, idempotency_key, principal.owner, TaskType.PREPROCESSING
        )

    def _settings(self, endpoint: CaptionEndpoint, wanted: CaptionRequest) -> CaptionSettings:
        """Return the settings. Raises Invalid."""
        if endpoint.command:
            return self._settings_of_command(endpoint, wanted)
        model = wanted.model or endpoint.model
        if not model:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/model",
                        FindingText("caption_model_missing", "No model is set.", "Set model, or CAPTION_MODEL."),
                    )
                ]
            )
        return CaptionSettings(
            endpoint.address,
            model,
            wanted.prompt,
            wanted.max_tokens,
            frames=wanted.frames,
            per_minute=endpoint.per_minute,
        )

    @staticmethod
    def _settings_of_command(endpoint: CaptionEndpoint, wanted: CaptionRequest) -> CaptionSettings:
        # One at a time: the program loads a model on this machine.
        return CaptionSettings(
            "",
            wanted.model or endpoint.model or Path(endpoint.command[0]).name,
            wanted.prompt,
            parallel=1,
            timeout_seconds=endpoint.command_seconds,
            command=endpoint.command,
        )

    def _keep_key(self, endpoint: CaptionEndpoint, task_id: str) -> None:
        """Store the key for the task's environment in a private file. Raises OSError."""
        key = endpoint.key
        if endpoint.key_file is not None:
            key = read_secret_file(endpoint.key_file).content.decode().strip()
        if key is not None:
            self._context.storage.files(task_id).store_secrets({CAPTION_KEY_VARIABLE: key})

    def _todo(
        self, items: list[ManifestItem], wanted: CaptionRequest, settings: CaptionSettings
    ) -> tuple[list[WorkItem], int]:
        """Return the files to caption, each once, and the number of answers that are known already."""
        by_key = {caption_key(item, settings): item for item in items if is_wanted(item, wanted.only_missing)}
        known = self._derivations.find(by_key, self._context.clock.steady.now())
        todo = [
            WorkItem(item.path, item.sha256, item.size_bytes, key) for key, item in by_key.items() if key not in known
        ]
        return todo, len(known)

    def _estimate(
        self, settings: CaptionSettings, items: int, questions: int, known: int, price: float | None
    ) -> CaptionEstimate:
        pace = self._pace(settings.model)
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
        """Return the seconds per question for this model, measured by its latest task."""
        wanted = TaskFilter(STATUSES[PreprocessStatus.COMPLETED])
        for task in self._context.tasks.page(wanted, _LATEST, None, None)[0]:
            if task.trainer == CAPTIONING and task.result is not None and task.result.get("model") == model:
                return PreprocessResult.from_json(task.result).seconds_per_question
        return None


def is_wanted(item: ManifestItem, only_missing: bool) -> bool:
    """Return whether an item gets a caption: every item, or only those with no or an empty one."""
    return not only_missing or not (item.caption or "").strip()


def caption_key(item: ManifestItem, settings: CaptionSettings | Mapping[str, Any]) -> str:
    """Return the key of a question's answer: a hash of the file, the model and the prompt."""
    fields = settings.as_json() if isinstance(settings, CaptionSettings) else settings
    of_endpoint = ("endpoint", "model", "prompt", "max_tokens", "temperature", "frames")
    # Tasks of earlier versions have no command.
    names = ("command", "model", "prompt") if fields.get("command") else of_endpoint
    question = {name: fields[name] for name in names}
    content = orjson.dumps(["caption", item.sha256, question], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()
