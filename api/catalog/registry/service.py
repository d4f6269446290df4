"""The use cases of the library of saved models."""

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from api.catalog.registry.models import (
    ModelDeleted,
    ModelVersion,
    ModelVersionView,
    NewModelVersion,
    RegisteredModel,
    RegisteredModelView,
)
from api.catalog.registry.origin import (
    describe_format,
    describe_origin,
    standard_metadata,
    stem_of,
    value_at,
)
from api.catalog.registry.store import RegistryStore
from api.domain.access.principal import Permission, Principal
from api.domain.access.read_scope import current_scope
from api.domain.models.weights import FileForm, WeightsFacts
from api.errors import (
    BlobMissing,
    HiddenModel,
    HiddenTask,
    ModelExists,
    ModelVersionNotFound,
    NotYours,
    RegisteredModelNotFound,
    WeightsRefused,
)
from api.files.blobs import BlobStore
from api.files.weights.examination import examine
from api.files.weights.header import Unsound
from api.files.weights.rewriting import RewrittenFile, rewrite
from api.training.details import TrainingDetails
from api.training.output.artifacts import OpenFile, is_checkpoint_state, saved_at
from api.training.output.training_files import TrainingFiles
from api.training.views import TaskDetails, XAxis
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.http.base_path import BASE_PATH
from api.util.http.pagination import Page, PageRequest

logger = logging.getLogger(__name__)

#: Bytes per read.
_CHUNK = 1024 * 1024

#: The number of values of a series to search for one epoch or step.
_MAX_VALUES = 10_000


class VersionLinks(Protocol):
    """Links to the versions with an alias, in a directory of ComfyUI. Versions are given as hashes by alias."""

    def refuse_taken(self, model: str, aliases: Collection[str]) -> None:
        """Raise Conflict if a link of another model has the file name that one of these aliases needs."""
        ...

    def update(self, model: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
        """Update the links of a model after a change of its aliases. Return the problems."""
        ...

    def aliased(self) -> list[str]:
        """Return the names of the models that have links."""
        ...


class Registry:
    """The use cases of `/models/registry`."""

    def __init__(
        self,
        store: RegistryStore,
        blobs: BlobStore,
        trainings: TrainingDetails,
        files: TrainingFiles,
        clock: Clock,
        links: VersionLinks | None = None,
        room: Callable[[int], None] = lambda size: None,
    ) -> None:
        """`links` is None without a directory of ComfyUI. `room` raises if the disk has no room for that many bytes."""
        self._store = store
        self._blobs = blobs
        self._trainings = trainings
        self._files = files
        self._clock = clock
        self._links = links
        self._room = room
        self._linking_lock = threading.Lock()

    # -- creating ------------------------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        task_id: str,
        artifact: str,
        principal: Principal,
        *,
        notes: str | None = None,
        tags: Sequence[str] = (),
        aliases: Sequence[str] = (),
    ) -> ModelVersionView:
        """Add a training's file as the next version of a model. Create the model if it is missing.

        Raises TaskNotFound, ArtifactNotFound, WeightsRefused, NotYours, Conflict, InsufficientStorage, OSError.
        """
        self.require_own(name, principal)
        self._refuse_taken_links(name, aliases)
        task = self._task_of(task_id)
        if is_checkpoint_state(artifact):
            raise WeightsRefused(
                f"{artifact[:300]} is part of a checkpoint, which only its trainer can load."
                f" Register a saved model instead: GET /training/{task_id}/artifacts lists them with the kind `model`."
            )
        sha256, facts = self._take(self._files.open_artifact(task_id, artifact))
        new = NewModelVersion(
            sha256=sha256,
            size_bytes=facts.size_bytes,
            actor=principal.actor,
            stem=stem_of(artifact),
            notes=notes,
            tags=tuple(tags),
            origin=describe_origin(task, artifact, *self._losses(task, artifact)),
            format=describe_format(facts, task.model_type),
        )
        self._store.ensure(name, principal.owner, self._clock.now())
        with self._linking(name, aliases):
            made = self._store.add_version(name, new, aliases, self._clock.now())
        logger.info("model version added", extra={"model": name, "version": made.ordinal, "task_id": task_id})
        return self._show(name, made)

    def write_metadata(
        self, name: str, version: str, trigger: str | None, more: Mapping[str, str], principal: Principal
    ) -> ModelVersionView:
        """Add a version with the same tensors and more metadata in its header.

        Raises RegisteredModelNotFound, ModelVersionNotFound, BlobMissing, WeightsRefused, InsufficientStorage.
        """
        old = self._store.get_version(self.find(name).name, version)
        metadata = {**standard_metadata(name, old.ordinal, old.origin, old.format, trigger), **more}
        handle = self._blobs.open(old.sha256)
        try:
            self._room(old.size_bytes)
            with self._blobs.begin() as writer:
                rewrite(handle, metadata, writer.write)
                blob = writer.commit()
        except (Unsound, ValueError) as error:
            raise WeightsRefused(f"The metadata cannot be written: the file {error}.") from None
        finally:
            os.close(handle)
        facts = examine(self._blobs.path(blob.sha256))
        stem = old.file_name.removesuffix(".safetensors").removeprefix(f"{name}-v{old.ordinal}").strip("-")
        new = NewModelVersion(
            sha256=blob.sha256,
            size_bytes=blob.size_bytes,
            actor=principal.actor,
            stem=stem,
            notes=old.notes,
            tags=old.tags,
            origin={**old.origin, "metadata_of": old.ordinal},
            format=describe_format(facts, old.format.get("base_model")),
            samples_of=old.ordinal,
        )
        return self._show(name, self._store.add_version(name, new, (), self._clock.now()))

    def _take(self, file: OpenFile | RewrittenFile) -> tuple[str, WeightsFacts]:
        """Copy an open file into the blob store, close it, and return its hash and facts. Raises WeightsRefused.

        The file is not linked, because a resumed training overwrites its saved models.
        """
        try:
            self._room(file.size)
            with self._blobs.begin() as writer:
                while part := file.read(writer.size_bytes, _CHUNK):
                    writer.write(part)
                    # The trainer may append to the file in the meantime, without end.
                    if writer.size_bytes > file.size:
                        raise WeightsRefused(f"{file.name} is still being written.")
                blob = writer.commit()
        finally:
            file.close()
        facts = examine(self._blobs.path(blob.sha256))
        if facts.form is not FileForm.SAFETENSORS or not facts.is_whole:
            raise WeightsRefused(f"{file.name} {facts.problem or 'cannot be judged'}.")
        return blob.sha256, facts

    def _task_of(self, task_id: str) -> TaskDetails:
        task = self._trainings.get(task_id)
        if not current_scope.get().sees(task.owner):
            raise HiddenTask.named(task_id)
        return task

    def _losses(self, task: TaskDetails, artifact: str) -> tuple[float | None, float | None]:
        """Loss and evaluation loss at the epoch or step of a saved file; None where they are not known."""
        kind, number = saved_at(artifact)
        if kind is None or number is None:
            return None, None
        axis = XAxis.EPOCH if kind == "epoch" else XAxis.STEP
        series = [
            self._trainings.get_metrics(task.task_id, metric, axis, _MAX_VALUES, None)
            for metric in ("loss", "eval_loss")
        ]
        loss, eval_loss = (value_at(one, number) for one in series)
        return loss, eval_loss

    def require_own(self, name: str, principal: Principal) -> None:
        """Check that the principal may add versions to a model, if it exists. Raises ModelExists, NotYours."""
        with suppress(RegisteredModelNotFound):
            found = self._store.get(name)
            if not current_scope.get().sees(found.owner):
                raise ModelExists(f'A model named "{name}" already exists.')
            is_own = found.owner is None or found.owner == principal.owner
            if principal.owner is not None and not is_own and not principal.may(Permission.TASKS_WRITE_ANY):
                raise NotYours(f"{name} belongs to another user. Only its owner and administrators may change it.")

    # -- reading -------------------------------------------------------------------------------------------------------

    def find(self, name: str) -> RegisteredModel:
        """Return a model that the user may see. Raises RegisteredModelNotFound."""
        found = self._store.get(name)
        if not current_scope.get().sees(found.owner):
            raise HiddenModel.named(name)
        return found

    def owner_of(self, name: str) -> str | None:
        """Return the owner of a model, or None. Raises RegisteredModelNotFound, DatabaseUnavailable."""
        return self._store.get(name).owner

    def get(self, name: str) -> RegisteredModelView:
        """Return a model with its newest version. Raises RegisteredModelNotFound."""
        return self._show_models([self.find(name)])[0]

    def get_page(
        self, search: str | None, owner: str | None, tag: str | None, page: PageRequest
    ) -> Page[RegisteredModelView]:
        """Return a page of the models that the user may see, newest first."""
        seen_by = current_scope.get().only_of
        found = self._store.page(page, search=search, owner=owner, tag=tag, seen_by=seen_by)
        return Page(tuple(self._show_models(found.rows)), found.pagination)

    def get_version(self, name: str, version: str) -> ModelVersionView:
        """Return a version by number, alias or `latest`. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return self._show(name, self._store.get_version(self.find(name).name, version))

    def get_versions(self, name: str, page: PageRequest) -> Page[ModelVersionView]:
        """Return a page of the versions, newest first. Raises RegisteredModelNotFound."""
        return self._store.versions(self.find(name).name, page).map(lambda row: self._show(name, row))

    def find_version(self, name: str, version: str) -> ModelVersion:
        """Return a version as stored. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return self._store.get_version(self.find(name).name, version)

    def find_file(self, sha256: str) -> tuple[str, int] | None:
        """Return the model and the number of a version with this content; None without one."""
        return self._store.find_file(sha256)

    def link_file(self, sha256: str, target: Path) -> None:
        """Link the file of a version into a task's directory. Raises BlobMissing, OSError."""
        self._blobs.link_into(sha256, target, may_symlink=False)

    def open_file(self, name: str, version: str) -> OpenFile:
        """Open the file of a version for reading.

        Raises RegisteredModelNotFound, ModelVersionNotFound, BlobMissing.
        """
        found = self._store.get_version(self.find(name).name, version)
        handle = self._blobs.open(found.sha256)
        return OpenFile(handle, found.file_name, os.fstat(handle).st_size, found.created_at.timestamp())

    # -- changing ------------------------------------------------------------------------------------------------------

    def change(self, name: str, changes: Mapping[str, Any]) -> RegisteredModelView:
        """Change name, description or tags. Raises RegisteredModelNotFound, ModelExists, Conflict."""
        found, new_name = self.find(name), changes.get("name") or name
        with self._linking_lock:
            before = self._links_of(found.name)
            if new_name != name:
                self._refuse_taken_links(new_name, before)
            changed = self._store.change(found.name, changes, self._clock.now())
            if self._links is not None and new_name != name:
                self._links.update(name, before, {})
                self._links.update(new_name, {}, before)
        return self._show_models([changed])[0]

    def change_version(
        self, name: str, version: str, changes: Mapping[str, Any], aliases: Sequence[str] | None
    ) -> ModelVersionView:
        """Change notes, tags or aliases. Raises RegisteredModelNotFound, ModelVersionNotFound, Conflict."""
        self.find(name)
        with self._linking(name, aliases or ()):
            changed = self._store.change_version(name, version, changes, aliases, self._clock.now())
        return self._show(name, changed)

    def delete(self, name: str) -> ModelDeleted:
        """Delete a model with all its versions. Raises RegisteredModelNotFound, VersionInUse."""
        self._store.delete(self.find(name).name)
        logger.info("model deleted", extra={"model": name})
        return ModelDeleted(name, None)

    def delete_version(self, name: str, version: str) -> ModelDeleted:
        """Delete a version. Raises RegisteredModelNotFound, ModelVersionNotFound, VersionInUse."""
        ordinal = self._store.delete_version(self.find(name).name, version)
        logger.info("model version deleted", extra={"model": name, "version": ordinal})
        return ModelDeleted(name, ordinal)

    def collect(self, older_than_seconds: float) -> None:
        """Remove the files that no version and no sample needs. Raises OSError."""
        self._relink()
        if self._store.belongs_with(self._blobs.identity()):
            self._blobs.sweep(self._store.needed, older_than_seconds)

    # -- links and views -----------------------------------------------------------------------------------------------

    def _links_of(self, name: str) -> dict[str, str]:
        """Return the hashes by alias of a model; empty without a directory of ComfyUI."""
        if self._links is None:
            return {}
        aliases = self._store.get(name).aliases
        return {alias: self._store.get_version(name, str(ordinal)).sha256 for alias, ordinal in aliases.items()}

    def _refuse_taken_links(self, name: str, aliases: Collection[str]) -> None:
        if self._links is not None:
            self._links.refuse_taken(name, aliases)

    @contextmanager
    def _linking(self, name: str, aliases: Collection[str]) -> Iterator[None]:
        """Update ComfyUI's links after the `with` block, which may add these aliases. Raises Conflict."""
        if self._links is None:
            yield
            return
        with self._linking_lock:
            self._refuse_taken_links(name, aliases)
            before = self._links_of(name)
            yield
            self._links.update(name, before, self._links_of(name))

    def _relink(self) -> None:
        """Repair the links, for example after a server was killed before it updated them."""
        if self._links is None:
            return
        for name in self._links.aliased():
            with self._linking_lock, suppress(RegisteredModelNotFound, ModelVersionNotFound):
                self._links.update(name, {}, self._links_of(name))

    def _show_models(self, models: Sequence[RegisteredModel]) -> list[RegisteredModelView]:
        latest = self._store.latest_of(models)
        shown = {
            serial: self._show(model.name, latest[serial]) for model in models if (serial := model.serial) in latest
        }
        return [copy_fields(RegisteredModelView, model, latest=shown.get(model.serial)) for model in models]

    def _show(self, name: str, version: ModelVersion) -> ModelVersionView:
        path = None
        with suppress(BlobMissing):
            path = str(self._blobs.path(version.sha256))
        return copy_fields(
            ModelVersionView,
            version,
            model=name,
            version=version.ordinal,
            download=f"{BASE_PATH}/models/registry/{name}/versions/{version.ordinal}/file",
            path=path,
        )
