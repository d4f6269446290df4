"""The use cases of pushes of saved models to a hub. `jobs/pushes/program.py` sends the files."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from api.catalog.registry.model_card import CardFacts, CardSample, write_card
from api.catalog.registry.models import ModelVersion
from api.catalog.registry.service import Registry
from api.catalog.transfers.tasks import LEVELS, Transfers, TransferWork, whole
from api.catalog.transfers.views import PushedFileView, PushStatus, PushView
from api.domain.access.principal import Principal
from api.domain.models.base_model import CatalogModel
from api.domain.samples.library_sample import ModelSample
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus, TaskSummary
from api.jobs.kinds import PUSHES
from api.jobs.pushes.request import CARD, CardRule, PushedFile, PushRequest
from api.training.task_resources import TaskResources
from api.util.files.foreign_files import write

logger = logging.getLogger(__name__)

#: The name of the weights in the task's output directory.
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class PushOrder:
    """A user's request for a push, except the version and the token."""

    repository: str
    revision: str = "main"
    path: str | None = None  #: of the weights in the repository; None: the file name of the version
    is_private: bool = True  #: whether a new repository is private
    creates: bool = True
    message: str | None = None
    card: str = CardRule.OWN
    samples: bool = True  #: whether samples are pushed too
    facts: CardFacts = field(default_factory=CardFacts)

    def as_config(self) -> dict[str, Any]:
        """Return the given fields, as they are stored with the task."""
        fields = {
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
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PushRules:
    """The hub and the private hosts that pushes may connect to."""

    endpoint: str
    allowed_hosts: tuple[str, ...]


class VersionSamples(Protocol):
    """The samples of the versions in the library."""

    def of(self, name: str, version: str) -> Sequence[ModelSample]:
        """Return the samples of a version."""
        ...

    def link_file(self, sample: ModelSample, target: Path) -> None:
        """Link the file of a sample into a task's directory."""
        ...


class PushService(Transfers[PushView]):
    """The use cases of `/models/push`."""

    def __init__(
        self,
        resources: TaskResources,
        registry: Registry,
        samples: VersionSamples,
        models: Mapping[str, CatalogModel],
        rules: PushRules,
    ) -> None:
        super().__init__(resources, TaskType.PUSH, PUSHES)
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
        principal: Principal,
        idempotency_key: str | None = None,
    ) -> PushView:
        """Create a task that pushes a version. The token is stored in the task's secrets file only.

        Raises RegisteredModelNotFound, ModelVersionNotFound, BlobMissing, InsufficientStorage, QuotaExceeded.
        """
        first = self._find_by_key(idempotency_key)
        if first is not None:
            return first
        model, found = self._registry.find(name), self._registry.find_version(name, version)
        path = order.path or found.file_name
        samples = self._samples.of(name, str(found.ordinal)) if order.samples else []
        shown = [CardSample(_path_of(each), each.settings.prompt) for each in samples]
        card = write_card(model, found, path, order.facts, self._models, shown).encode()
        files = [PushedFile(_WEIGHTS, path, found.size_bytes)]
        files += [PushedFile(_local(each), _path_of(each), each.size_bytes) for each in samples]
        if order.card != CardRule.NEVER:
            files.append(PushedFile(CARD, CARD, len(card)))
        request = self._make_request(order, order.message or f"{name} v{found.ordinal}", files)
        # The hash protects the version from deletion until the task has ended.
        stored_order = {**order.as_config(), "model": name, "version": found.ordinal, "sha256": found.sha256}
        model_type = found.format.get("base_model")
        work = TransferWork(
            model_type if isinstance(model_type, str) else None,
            order.repository,
            stored_order,
            {**request.as_json(), "model": name, "version": found.ordinal},
            lambda output: self._lay_out(output, found, samples, card),
        )
        task_id = self._start(work, token, principal, idempotency_key)
        logger.info("push submitted", extra={"task_id": task_id, "model": name, "version": found.ordinal})
        return self.get(task_id)

    def _make_request(self, order: PushOrder, message: str, files: Sequence[PushedFile]) -> PushRequest:
        return PushRequest(
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

    def _lay_out(self, output: Path, version: ModelVersion, samples: Sequence[ModelSample], card: bytes) -> None:
        self._registry.link_file(version.sha256, output / _WEIGHTS)
        for each in samples:
            self._samples.link_file(each, output / _local(each))
        write(str(output / CARD), card, levels=LEVELS)

    def _show(self, task: TaskSummary, report: ProgressReport) -> PushView:
        state, order = self.state(task.task_id), self.order_of(task)
        is_done = task.status is TaskStatus.COMPLETED
        return PushView(
            push_id=task.task_id,
            model=_text(order, "model"),
            version=whole(order, "version"),
            repository=_text(order, "repository"),
            url=self._own_url(_text(state, "url")) if is_done else None,
            commit=_text(state, "commit") if is_done else None,
            is_new=bool(state["is_new"]) if is_done and "is_new" in state else None,
            status=PushStatus(self._status_of(task, PushStatus.PUSHING)),
            files=tuple(map(_show_file, state.get("files") or ())),
            request=order,
            **self._shared_fields(task, report, state),
        )

    def _own_url(self, url: str | None) -> str | None:
        """Return a URL from the state file if it is one of the hub, since trainers may write there too."""
        return url if url is not None and url.startswith(f"{self._rules.endpoint.rstrip('/')}/") else None


def _path_of(sample: ModelSample) -> str:
    """Return a sample's path in the repository. Equal content has an equal path and is not sent again."""
    return f"samples/v{sample.ordinal}-{sample.sha256[:12]}{sample.ending}"


def _local(sample: ModelSample) -> str:
    return f"sample-{sample.sample_id}{sample.ending}"


def _show_file(found: Any) -> PushedFileView:
    file: Mapping[str, Any] = found if isinstance(found, dict) else {}
    size, sent = whole(file, "size"), whole(file, "sent") or 0
    return PushedFileView(
        name=str(file.get("name", ""))[:1024],
        size=size,
        sent=sent,
        progress=None if not size else min(100.0, round(100.0 * sent / size, 1)),
        status=str(file.get("status", ""))[:40],
    )


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value[:1000] if isinstance(value, str) else None
