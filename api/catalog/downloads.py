"""The use cases of downloads."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from api.catalog.download_models import DownloadedFile, DownloadStatus, DownloadView
from api.catalog.download_request import DownloadOrder, DownloadRules, make_request
from api.catalog.transfer_service import TransferService
from api.catalog.transfers import LEVELS, Transfers, TransferWork, number, whole
from api.domain.access import Principal
from api.domain.catalog import CatalogModel
from api.domain.progress import ProgressReport
from api.domain.reason import code_of
from api.domain.training import TaskStatus, TaskSummary, TrainingTask
from api.errors import Finding, Invalid
from api.jobs.downloads.allowance import ALLOWANCE, allowance_content
from api.jobs.downloads.leftovers import discard
from api.jobs.downloads.request import ADDRESS_TOKEN, reachable_hosts
from api.util.addresses import PrivateAddress
from api.util.foreign_files import write

logger = logging.getLogger(__name__)

_STATUSES = {
    TaskStatus.QUEUED: DownloadStatus.QUEUED,
    TaskStatus.STARTING: DownloadStatus.DOWNLOADING,
    TaskStatus.RUNNING: DownloadStatus.DOWNLOADING,
    TaskStatus.STOPPING: DownloadStatus.DOWNLOADING,
    TaskStatus.COMPLETED: DownloadStatus.COMPLETED,
    TaskStatus.FAILED: DownloadStatus.FAILED,
    TaskStatus.STOPPED: DownloadStatus.PAUSED,
}


class DownloadService(TransferService[DownloadView]):
    """The use cases of `/models/download`."""

    def __init__(
        self,
        transfers: Transfers,
        models: Mapping[str, CatalogModel],
        rules: DownloadRules,
        storage_left: Callable[[str | None], int | None] = lambda owner: None,
    ) -> None:
        """`storage_left` returns the bytes that an owner may still store; None without a limit."""
        super().__init__(transfers)
        self._storage_left = storage_left
        self._models = models
        self._rules = rules

    def start(
        self, order: DownloadOrder, token: str | None, principal: Principal, idempotency_key: str | None = None
    ) -> DownloadView:
        """Create a task that downloads. The token is stored in the task's secrets file only.

        Raises Invalid, ModelNotFound, PicklesRefused, InsufficientStorage, QuotaExceeded.
        """
        first = self._transfers.find_by_key(idempotency_key)
        if first is not None:
            return self.get(first)
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
        task_id = self._transfers.start(work, token, principal, idempotency_key)
        logger.info("download submitted", extra={"task_id": task_id})
        return self.get(task_id)

    def cancel(self, task_id: str, actor: str) -> DownloadView:
        """Cancel a download and remove its incomplete files.

        Raises TaskNotFound, TaskNotStoppable.
        """
        shown = super().cancel(task_id, actor)
        files = self._transfers.state(task_id).get("files") or ()
        discard(self._rules.models_root, [str(file.get("part")) for file in files if isinstance(file, dict)])
        return shown

    def _show(self, task: TaskSummary, report: ProgressReport) -> DownloadView:
        state, why = self._transfers.state(task.task_id), self._transfers.why_waiting(task)
        order = task.request.config.get("order", {}) if isinstance(task, TrainingTask) else {}
        is_active, files = task.status.is_active, tuple(map(_show_file, state.get("files") or ()))
        speed, left = (number(state, name) if is_active else None for name in ("bytes_per_second", "eta"))
        return DownloadView(
            download_id=task.task_id,
            # The server of a URL names its file only while the download runs.
            name=(files[0].name if files and order.get("url") else None) or task.name,
            model_id=task.model_type or None,
            version=order.get("version"),
            status=self._status(task, files),
            progress=100.0 if task.status is TaskStatus.COMPLETED else report.progress.overall_progress,
            speed=speed,
            eta=left,
            components=files,
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

    def _status(self, task: TaskSummary, files: tuple[DownloadedFile, ...]) -> DownloadStatus:
        if task.status in (TaskStatus.STOPPED, TaskStatus.FAILED) and self._transfers.is_cancelled(task.task_id):
            return DownloadStatus.CANCELLED
        is_verifying = task.status is TaskStatus.RUNNING and any(file.status == "verifying" for file in files)
        return DownloadStatus.VERIFYING if is_verifying else _STATUSES[task.status]


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
        raise Invalid(mistakes=[Finding("/url", f"{error}")]) from None


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
