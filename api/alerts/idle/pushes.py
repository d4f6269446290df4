"""Push the chosen models of trainings to the hub before a machine ends. Each push checks what the hub received."""

from collections.abc import Callable
from pathlib import Path

from api.alerts.idle.copies import CopyInterrupted, KnownHashes
from api.catalog.registry.service import Registry
from api.catalog.transfers.pushes import PushOrder, PushService
from api.catalog.transfers.views import PushStatus, PushView
from api.domain.access.principal import LOCAL, Credential, Permission, Principal
from api.domain.reason import Reason
from api.errors import ArtifactNotFound, DatabaseUnavailable, ServiceError
from api.files.task_files import task_files
from api.files.weights.rewriting import RewrittenFile
from api.training.output.artifacts import saved_models
from api.training.output.training_files import TrainingFiles
from api.training.records.task_queries import ChosenModel

_RUNNING = (PushStatus.QUEUED, PushStatus.PUSHING)

#: Statuses that do not prevent the end: a user who cancels a push does not want it.
_OVER = (PushStatus.COMPLETED, PushStatus.CANCELLED)


class ChosenPushes:
    """One push for the content of each chosen model. A model that the library lacks is added to it."""

    def __init__(
        self,
        models: Callable[[], list[ChosenModel]],
        root: Path,
        files: TrainingFiles,
        registry: Registry,
        pushes: PushService,
        repository: str | None,
    ) -> None:
        """`root` is the STORAGE_ROOT; without a repository nothing is pushed."""
        self._models = models
        self._root = root
        self._files = files
        self._registry = registry
        self._pushes = pushes
        self._repository = repository
        self._hashes = KnownHashes()

    def make(self, may_go_on: Callable[[], bool]) -> Reason | None:
        """Start the missing pushes of this storage, and return the first problem.

        `may_go_on` is called often. Raises CopyInterrupted when it returns False, and while a push waits or runs, and
        DatabaseUnavailable.
        """
        if self._repository is None:
            return None
        problem, runs = None, False
        for model in self._models():
            if not Path(model.directory).is_relative_to(self._root):
                continue  # another server has its files
            why = None
            try:
                push = self._push(model, self._repository, may_go_on)
                runs = runs or push.status in _RUNNING
                if push.status not in (*_RUNNING, *_OVER):
                    why = "it is paused" if push.failure is None else push.failure.detail
            except DatabaseUnavailable:
                raise
            except (ServiceError, OSError) as error:
                why = str(getattr(error, "strerror", None) or getattr(error, "detail", error))
            if why is not None and problem is None:
                problem = Reason.of(
                    "The chosen model {model} of {task_id} was not pushed to {repository}: {why} Correct this and "
                    "resume the push, cancel it, or choose another model, then try again.",
                    "idle_push_failed",
                    model=model.chosen,
                    task_id=model.task_id,
                    repository=self._repository,
                    why=f"{why.rstrip('.')}.",
                )
        if runs:
            raise CopyInterrupted
        return problem

    def _push(self, model: ChosenModel, repository: str, may_go_on: Callable[[], bool]) -> PushView:
        """Return the push of a model's present content, which is started if it is missing."""
        output = task_files(self._root, model.task_id).output
        path = saved_models(output).get(model.chosen)
        if path is None:
            raise ArtifactNotFound(f"{model.chosen} is missing")
        sha256 = self._hash(model.task_id, path, may_go_on)
        principal = _principal_of(model.owner)
        known = self._registry.find_file(sha256)
        if known is None:
            made = self._registry.register(model.task_id, model.task_id, path, principal)
            known = made.model, made.version
        name, version = known
        key = f"idle {repository} {sha256}"
        return self._pushes.start(name, str(version), PushOrder(repository), None, principal, key)

    def _hash(self, task_id: str, path: str, may_go_on: Callable[[], bool]) -> str:
        """Return the SHA-256 of a model as the library stores it, with its metadata."""
        source = self._files.open_artifact(task_id, path)
        try:
            head = source.head if isinstance(source, RewrittenFile) else b""
            return self._hashes.hash(source.descriptor, source.read, may_go_on, head)
        finally:
            source.close()


def _principal_of(owner: str | None) -> Principal:
    """Return whom the version and the push belong to: the owner of the training."""
    return LOCAL if owner is None else Principal(owner, None, frozenset({Permission.TASKS_WRITE_ANY}), Credential.KEY)
