"""Pushes of versions to a hub: tasks like downloads, the other way."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.catalog.model_card import CardFacts, CardSample, write_card
from api.catalog.push_models import PushedFileView, PushStatus, PushView
from api.catalog.registry import Registry
from api.catalog.registry_models import ModelVersion
from api.catalog.samples import Samples
from api.catalog.transfer_service import TransferService
from api.catalog.transfers import LEVELS, Transfers, TransferWork, number, whole
from api.domain.access import Principal
from api.domain.catalog import CatalogModel
from api.domain.progress import NOTHING_YET, ProgressReport
from api.domain.reason import code_of
from api.domain.sample import ModelSample
from api.domain.training import TaskStatus, TaskSummary
from api.jobs.pushes.wish import CARD, CardRule, PushedFile, PushWish
from api.util.foreign_files import write
from api.util.pagination import Page, PageRequest

logger = logging.getLogger(__name__)

_STATUSES = {
    TaskStatus.QUEUED: PushStatus.QUEUED,
    TaskStatus.STARTING: PushStatus.PUSHING,
    TaskStatus.RUNNING: PushStatus.PUSHING,
    TaskStatus.STOPPING: PushStatus.PUSHING,
    TaskStatus.COMPLETED: PushStatus.COMPLETED,
    TaskStatus.FAILED: PushStatus.FAILED,
    TaskStatus.STOPPED: PushStatus.PAUSED,
}

#: What the weights are called in the task's output directory.
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class PushOrder:
    """A request: which version goes where, and what its card says."""

    repository: str
    revision: str = "main"
    path: str | None = None  #: of the weights in the repository; None: as its download is called
    is_private: bool = True  #: of a repository that is made
    creates: bool = True
    message: str | None = None
    card: str = CardRule.OWN
    samples: bool = True  #: go along
    facts: CardFacts = field(default_factory=CardFacts)

    def as_config(self) -> dict[str, Any]:
        """As it is kept with its task: what was given."""
        told = {
            "repository": self.repository,
            "revision": self.revision,
            "path": self.path,
            "private": self.is_private,
            "create": self.creates,
            "message": self.message,
            "card": str(self.card),
            "samples": self.samples,
            "license": self.facts.license,
            "base_model": self.facts.base_model,
            "trigger": self.facts.trigger,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PushRules:
    """Where this service pushes to."""

    endpoint: str
    allowed_hosts: tuple[str, ...]


class PushService(TransferService[PushView]):
    """The use cases of `/models/push`."""

    def __init__(
        self,
        transfers: Transfers,
        registry: Registry,
        samples: Samples,
        models: Mapping[str, CatalogModel],
        rules: PushRules,
    ) -> None:
        super().__init__(transfers)
        self._registry = registry
        self._samples = samples
        self._models = models
        self._rules = rules

    def start(
        self,
        name: str,
        version: str,
        order: PushOrder,
        token: str | None,
        asks: Principal,
        idempotency_key: str | None = None,
    ) -> PushView:
        """Makes a task that pushes a version. The token goes into the task's file of secrets, and into no other place.

        Raises RegisteredModelNotFound, ModelVersionNotFound, BlobMissing, InsufficientStorage, QuotaExceeded.
        """
        first = self._transfers.find_by_key(idempotency_key)
        if first is not None:
            return self.get(first)
        model, found = self._registry.find(name), self._registry.find_version(name, version)
        path = order.path or found.file_name
        samples = self._samples.of(name, str(found.ordinal)) if order.samples else []
        shown = [CardSample(_path_of(each), each.settings.prompt) for each in samples]
        card = write_card(model, found, path, order.facts, self._models, shown).encode()
        files = [PushedFile(_WEIGHTS, path, found.size_bytes)]
        files += [PushedFile(_local(each), _path_of(each), each.size_bytes) for each in samples]
        if order.card != CardRule.NEVER:
            files.append(PushedFile(CARD, CARD, len(card)))
        wish = self._make_wish(order, order.message or f"{name} v{found.ordinal}", files)
        # The hash keeps the version from being deleted before this has ended.
        told = {**order.as_config(), "model": name, "version": found.ordinal, "sha256": found.sha256}
        model_type = found.format.get("base_model")
        work = TransferWork(
            model_type if isinstance(model_type, str) else None,
            order.repository,
            told,
            {**wish.as_json(), "model": name, "version": found.ordinal},
            lambda output: self._lay_out(output, found, samples, card),
        )
        task_id = self._transfers.start(work, token, asks, idempotency_key)
        logger.info("push submitted", extra={"task_id": task_id, "model": name, "version": found.ordinal})
        return self.get(task_id)

    def _make_wish(self, order: PushOrder, message: str, files: Sequence[PushedFile]) -> PushWish:
        return PushWish(
            endpoint=self._rules.endpoint,
            repository=order.repository,
            revision=order.revision,
            is_private=order.is_private,
            creates=order.creates,
            message=message,
            card=CardRule(order.card),
            files=tuple(files),
            allowed_hosts=self._rules.allowed_hosts,
        )

    def get_page_of(self, model: str | None, page: PageRequest) -> Page[PushView]:
        """A page of those that whoever asks may see, of one model alone where one is named; newest first."""
        found = self._transfers.get_page(page, model)
        return found.map(lambda task: self._show(task, task.progress or NOTHING_YET))

    def _lay_out(self, output: Path, version: ModelVersion, samples: Sequence[ModelSample], card: bytes) -> None:
        self._registry.link_file(version.sha256, output / _WEIGHTS)
        for each in samples:
            self._samples.link_file(each, output / _local(each))
        write(str(output / CARD), card, levels=LEVELS)

    def _show(self, task: TaskSummary, report: ProgressReport) -> PushView:
        state, order = self._transfers.state(task.task_id), self._transfers.order_of(task)
        why = self._transfers.why_waiting(task)
        is_active, is_done = task.status.is_active, task.status is TaskStatus.COMPLETED
        speed, left = (number(state, name) if is_active else None for name in ("bytes_per_second", "eta"))
        return PushView(
            push_id=task.task_id,
            model=_text(order, "model"),
            version=whole(order, "version"),
            repository=_text(order, "repository"),
            url=self._own_url(_text(state, "url")) if is_done else None,
            commit=_text(state, "commit") if is_done else None,
            is_new=bool(state["is_new"]) if is_done and "is_new" in state else None,
            status=self._status(task),
            progress=100.0 if is_done else report.progress.overall_progress,
            files=tuple(map(_show_file, state.get("files") or ())),
            bytes_total=whole(state, "bytes_total"),
            bytes_done=whole(state, "bytes_done"),
            bytes_per_second=speed,
            eta_seconds=left,
            owner=task.owner,
            waiting_reason=None if why is None else why.text,
            waiting_reason_code=code_of(why),
            failure=task.cause if task.status is TaskStatus.FAILED else None,
            warnings=tuple(dict.fromkeys(report.warnings)),
            created_at=task.created_at,
            updated_at=task.updated_at,
            finished_at=task.finished_at,
            request=order,
        )

    def _own_url(self, url: str | None) -> str | None:
        """An address that the program has written, if it is one of the hub: where trainers write, others can."""
        return url if url is not None and url.startswith(f"{self._rules.endpoint.rstrip('/')}/") else None

    def _status(self, task: TaskSummary) -> PushStatus:
        if task.status in (TaskStatus.STOPPED, TaskStatus.FAILED) and self._transfers.is_cancelled(task.task_id):
            return PushStatus.CANCELLED
        return _STATUSES[task.status]


def _path_of(sample: ModelSample) -> str:
    """Its path in the repository: the same for the same bytes, so that what is there is not sent again."""
    return f"samples/v{sample.ordinal}-{sample.sha256[:12]}{sample.ending}"


def _local(sample: ModelSample) -> str:
    return f"sample-{sample.sample_id}{sample.ending}"


def _show_file(found: Any) -> PushedFileView:
    told: Mapping[str, Any] = found if isinstance(found, dict) else {}
    size, sent = whole(told, "size"), whole(told, "sent") or 0
    return PushedFileView(
        name=str(told.get("name", ""))[:1024],
        size=size,
        sent=sent,
        progress=None if not size else min(100.0, round(100.0 * sent / size, 1)),
        status=str(told.get("status", ""))[:40],
    )


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value[:1000] if isinstance(value, str) else None
