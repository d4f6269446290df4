"""The use cases of downloads. `jobs/downloads/program.py` transfers the files, and deletes old partial ones."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from api.catalog.transfers.download_request import DownloadOrder, DownloadRules, make_request
from api.catalog.transfers.tasks import LEVELS, Transfers, TransferWork, whole
from api.catalog.transfers.views import DownloadedFile, DownloadStatus, DownloadView
from api.domain.access.principal import Principal
from api.domain.finding import make_finding
from api.domain.models.base_model import CatalogModel
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus, TaskSummary, TrainingTask
from api.errors import FindingText, Invalid
from api.jobs.downloads.allowance import ALLOWANCE, allowance_content, discard
from api.jobs.downloads.request import ADDRESS_TOKEN, reachable_hosts
from api.jobs.kinds import DOWNLOADS
from api.training.task_resources import TaskResources
from api.util.files.foreign_files import write
from api.util.http.addresses import PrivateAddress

logger = logging.getLogger(__name__)


class DownloadService(Transfers[DownloadView]):
    """The use cases of `/models/download`."""

    def __init__(
        self,
        resources: TaskResources,
        models: Mapping[str, CatalogModel],
        rules: DownloadRules,
        storage_left: Callable[[str | None], int | None] = lambda owner: None,
    ) -> None:
        """`storage_left` returns the bytes that an owner may still store; None without a limit."""
        super().__init__(resources, TaskType.DOWNLOAD, DOWNLOADS)
        self._storage_left = storage_left
        self._models = models
        self._rules = rules

    def start(
        self, order: DownloadOrder, token: str | None, principal: Principal, idempotency_key: str | None = None
    ) -> DownloadView:
        """Create a task that downloads. The token is stored in the task's secrets file only.

        Raises Invalid, ModelNotFound, PicklesRefused, InsufficientStorage, QuotaExceeded.
        """
        first = self._find_by_key(idempotency_key)
        if first is not None:
            return first
        _require_public(order.url, self._rules)
        request = make_request(order, self._models, self._rules)
        name = order.name or order.model_id or order.repository or next((each.name for each in request.addresses), None)
        variable = "HF_TOKEN" if order.url is None else ADDRESS_TOKEN
        work = TransferWork(
            order.model_id,
            name,
            order.as_config(),
            request.as_json(),
            partial(_lay_out_allowance, self._storage_left(principal.owner)),
            variable,
        )
        task_id = self._start(work, token, principal, idempotency_key)
        logger.info("download submitted", extra={"task_id": task_id})
        return self.get(task_id)

    def cancel(self, task_id: str, actor: str) -> DownloadView:
        """Cancel a download and remove its incomplete files.

        Raises TaskNotFound, TaskNotStoppable.
        """
        shown = super().cancel(task_id, actor)
        files = self.state(task_id).get("files") or ()
        discard(self._rules.models_root, [str(file.get("part")) for file in files if isinstance(file, dict)])
        return shown

    def _show(self, task: TaskSummary, report: ProgressReport) -> DownloadView:
        state = self.state(task.task_id)
        order = task.request.config.get("order", {}) if isinstance(task, TrainingTask) else {}
        files = tuple(map(_show_file, state.get("files") or ()))
        is_verifying = task.status is TaskStatus.RUNNING and any(file.status == "verifying" for file in files)
        running = DownloadStatus.VERIFYING if is_verifying else DownloadStatus.DOWNLOADING
        fields = self._shared_fields(task, report, state)
        return DownloadView(
            download_id=task.task_id,
            # The server of a URL names its file only while the download runs.
            name=(files[0].name if files and order.get("url") else None) or task.name,
            model_id=task.model_type or None,
            version=order.get("version"),
            status=DownloadStatus(self._status_of(task, running)),
            speed=fields["bytes_per_second"],
            eta=fields["eta_seconds"],
            components=files,
            request=order,
            **fields,
        )


def _lay_out_allowance(bytes_left: int | None, output: Path) -> None:
    if bytes_left is not None:
        write(str(output / ALLOWANCE), allowance_content(bytes_left), levels=LEVELS)


def _require_public(url: str | None, rules: DownloadRules) -> None:
    """Check a URL whose host is an IP address or this machine. Host names are checked when they are resolved.

    Raises Invalid.
    """
    if url is None:
        return
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        reachable_hosts(rules.allowed_hosts, rules.endpoint).require_literal(unquote(parts.hostname or ""), port)
    except PrivateAddress as error:
        raise Invalid(
            mistakes=[
                make_finding(
                    "/url",
                    FindingText(
                        "private_host",
                        (
                            "{host} leads to a private address; if that is intended, an administrator can list it in "
                            "PRIVATE_HOSTS_ALLOWED"
                        ),
                    ),
                    host=error.host,
                )
            ]
        ) from None


def _show_file(found: Any) -> DownloadedFile:
    file: Mapping[str, Any] = found if isinstance(found, dict) else {}
    size, downloaded = whole(file, "size"), whole(file, "downloaded") or 0
    path = file.get("path")
    directory = str(file.get("directory", ""))[:300]
    return DownloadedFile(
        name=str(file.get("name", ""))[:1024],
        repository=directory if "/" in directory else None,
        size=size,
        downloaded=downloaded,
        progress=None if not size else min(100.0, round(100.0 * downloaded / size, 1)),
        path=path if isinstance(path, str) else None,
        status=str(file.get("status", ""))[:40],
    )
