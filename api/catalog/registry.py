"""Registered models: a training's file becomes a numbered version of a named model, which aliases point to."""

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from api.catalog.comfyui import ComfyLinks
from api.catalog.origin import (
    describe_format,
    describe_origin,
    saved_at,
    standard_metadata,
    stem_of,
    value_at,
)
from api.catalog.registry_models import (
    ModelDeleted,
    ModelVersion,
    ModelVersionView,
    NewModelVersion,
    RegisteredModel,
    RegisteredModelView,
)
from api.catalog.store import RegistryStore
from api.domain.access import Permission, Principal
from api.domain.sight import current_sight
from api.domain.weights import FileForm, WeightsFacts
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
from api.files.weights.rewriting import rewrite
from api.training.artifacts import OpenFile, is_checkpoint_state
from api.training.service import TrainingService
from api.training.views import TaskDetails, XAxis
from api.util.base_path import BASE_PATH
from api.util.clock import Clock
from api.util.pagination import Page, PageRequest, read_page

logger = logging.getLogger(__name__)

#: Read at a time.
_CHUNK = 1024 * 1024

#: Values of a series among which one epoch's or step's is looked for.
_MOST_VALUES = 10_000


class Registry:
    """The use cases of `/models/registry`."""

    def __init__(
        self,
        store: RegistryStore,
        blobs: BlobStore,
        training: TrainingService,
        clock: Clock,
        links: ComfyLinks | None = None,
        room: Callable[[int], None] = lambda size: None,
    ) -> None:
        """`links` None: no directory of ComfyUI is configured. `room` raises where the disk has none."""
        self._store = store
        self._blobs = blobs
        self._training = training
        self._clock = clock
        self._links = links
        self._room = room
        self._linking_lock = threading.Lock()

    # -- making --------------------------------------------------------------------------------------------------------

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
        """Makes a training's file the next version of a model, which is made where there is none.

        Raises TaskNotFound, ArtifactNotFound, WeightsRefused, NotYours, Conflict, InsufficientStorage, OSError.
        """
        self.require_own(name, principal)
        self._refuse_taken_links(name, aliases)
        task = self._task_of(task_id)
        if is_checkpoint_state(artifact):
            raise WeightsRefused(
                f"{artifact[:300]} is of a checkpoint: its trainer goes on by it, and nothing else can load it."
                f" Register a saved model: GET /training/{task_id}/artifacts lists them with the kind `model`."
            )
        sha256, facts = self._take(self._training.open_artifact(task_id, artifact))
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
        logger.info("model version made", extra={"model": name, "version": made.ordinal, "task_id": task_id})
        return self._show(name, made)

    def write_metadata(
        self, name: str, version: str, trigger: str | None, more: Mapping[str, str], principal: Principal
    ) -> ModelVersionView:
        """Makes a version with the same tensors and more metadata in its header.

        Raises RegisteredModelNotFound, ModelVersionNotFound, BlobMissing, WeightsRefused, InsufficientStorage.
        """
        old = self._store.get_version(self.find(name).name, version)
        told = {**standard_metadata(name, old.ordinal, old.origin, old.format, trigger), **more}
        handle = self._blobs.open(old.sha256)
        try:
            self._room(old.size_bytes)
            with self._blobs.begin() as writer:
                rewrite(handle, told, writer.write)
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

    def _take(self, file: OpenFile) -> tuple[str, WeightsFacts]:
        """Copies an open file into the store, and says what it is; it is closed. Raises WeightsRefused.

        A copy, and no other name of the same file: a training that is resumed writes over what it has saved.
        """
        try:
            self._room(file.size)
            with self._blobs.begin() as writer:
                while part := os.read(file.descriptor, _CHUNK):
                    writer.write(part)
                    # Who trains may write to it meanwhile, and without an end.
                    if writer.size_bytes > file.size:
                        raise WeightsRefused(f"{file.name} is still being written.")
                blob = writer.commit()
        finally:
            os.close(file.descriptor)
        facts = examine(self._blobs.path(blob.sha256))
        if facts.form is not FileForm.SAFETENSORS or not facts.is_whole:
            raise WeightsRefused(f"{file.name} {facts.problem or 'cannot be judged'}.")
        return blob.sha256, facts

    def _task_of(self, task_id: str) -> TaskDetails:
        task = self._training.get(task_id)
        if not current_sight.get().sees(task.owner):
            raise HiddenTask.named(task_id)
        return task

    def _losses(self, task: TaskDetails, artifact: str) -> tuple[float | None, float | None]:
        """Loss and evaluation loss at the epoch or step of a saved file; None where they are not known."""
        kind, number = saved_at(artifact)
        if kind is None or number is None:
            return None, None
        axis = XAxis.EPOCH if kind == "epoch" else XAxis.STEP
        series = [
            self._training.get_metrics(task.task_id, metric, axis, _MOST_VALUES, None)
            for metric in ("loss", "eval_loss")
        ]
        loss, eval_loss = (value_at(one, number) for one in series)
        return loss, eval_loss

    def require_own(self, name: str, principal: Principal) -> None:
        """Whether a model of this name, if there is one, may get a version by this principal."""
        with suppress(RegisteredModelNotFound):
            found = self._store.get(name)
            if not current_sight.get().sees(found.owner):
                raise ModelExists(f'A model is called "{name}" already.')
            is_own = found.owner is None or found.owner == principal.owner
            if principal.owner is not None and not is_own and not principal.may(Permission.TASKS_WRITE_ANY):
                raise NotYours(f"{name} belongs to somebody else: only they and administrators may change it.")

    # -- reading -------------------------------------------------------------------------------------------------------

    def find(self, name: str) -> RegisteredModel:
        """The model with this name, as whoever asks may see it. Raises RegisteredModelNotFound."""
        found = self._store.get(name)
        if not current_sight.get().sees(found.owner):
            raise HiddenModel(f'No model is called "{name[:100]}".')
        return found

    def owner_of(self, name: str) -> str | None:
        """Whom a model belongs to; None: nobody. Raises RegisteredModelNotFound, DatabaseUnavailable."""
        return self._store.get(name).owner

    def get(self, name: str) -> RegisteredModelView:
        """A model with its newest version. Raises RegisteredModelNotFound."""
        return self._show_models([self.find(name)])[0]

    def get_page(
        self, search: str | None, owner: str | None, tag: str | None, page: PageRequest
    ) -> Page[RegisteredModelView]:
        """A page of the models that whoever asks may see, newest first."""
        seen_by = current_sight.get().only_of
        found = read_page(
            lambda *cut: self._store.page(*cut, search=search, owner=owner, tag=tag, seen_by=seen_by),
            lambda row: row.serial,
            page,
        )
        return Page(tuple(self._show_models(found.rows)), found.pagination)

    def get_version(self, name: str, version: str) -> ModelVersionView:
        """A version by its number, an alias or `latest`. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return self._show(name, self._store.get_version(self.find(name).name, version))

    def get_versions(self, name: str, page: PageRequest) -> Page[ModelVersionView]:
        """A page of the versions, newest first. Raises RegisteredModelNotFound."""
        known = self.find(name).name
        found = read_page(lambda *cut: self._store.versions(known, *cut), lambda row: row.ordinal, page)
        return found.map(lambda row: self._show(name, row))

    def find_version(self, name: str, version: str) -> ModelVersion:
        """A version as it is kept. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        return self._store.get_version(self.find(name).name, version)

    def link_file(self, sha256: str, target: Path) -> None:
        """Gives the file of a version another name, for a task that needs it. Raises BlobMissing, OSError."""
        self._blobs.link_into(sha256, target, may_symlink=False)

    def open_file(self, name: str, version: str) -> OpenFile:
        """The file of a version, open for reading.

        Raises RegisteredModelNotFound, ModelVersionNotFound, BlobMissing.
        """
        found = self._store.get_version(self.find(name).name, version)
        handle = self._blobs.open(found.sha256)
        return OpenFile(handle, found.file_name, os.fstat(handle).st_size, found.created_at.timestamp())

    # -- changing ------------------------------------------------------------------------------------------------------

    def change(self, name: str, changes: Mapping[str, Any]) -> RegisteredModelView:
        """Changes name, description or tags. Raises RegisteredModelNotFound, ModelExists, Conflict."""
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
        """Changes notes, tags or aliases. Raises RegisteredModelNotFound, ModelVersionNotFound, Conflict."""
        self.find(name)
        with self._linking(name, aliases or ()):
            changed = self._store.change_version(name, version, changes, aliases, self._clock.now())
        return self._show(name, changed)

    def delete(self, name: str) -> ModelDeleted:
        """Takes a model away with all its versions. Raises RegisteredModelNotFound, VersionInUse."""
        self._store.delete(self.find(name).name)
        logger.info("model deleted", extra={"model": name})
        return ModelDeleted(name, None)

    def delete_version(self, name: str, version: str) -> ModelDeleted:
        """Takes a version away. Raises RegisteredModelNotFound, ModelVersionNotFound, VersionInUse."""
        ordinal = self._store.delete_version(self.find(name).name, version)
        logger.info("model version deleted", extra={"model": name, "version": ordinal})
        return ModelDeleted(name, ordinal)

    def collect(self, older_than_seconds: float) -> None:
        """Removes the files that no version and no sample needs any more. Raises OSError."""
        self._relink()
        if self._store.belongs_with(self._blobs.identity()):
            self._blobs.sweep(self._store.needed, older_than_seconds)

    # -- links and views -----------------------------------------------------------------------------------------------

    def _links_of(self, name: str) -> dict[str, str]:
        """The hashes by the aliases that a model has now; nothing where no links are made."""
        if self._links is None:
            return {}
        aliases = self._store.get(name).aliases
        return {alias: self._store.get_version(name, str(ordinal)).sha256 for alias, ordinal in aliases.items()}

    def _refuse_taken_links(self, name: str, aliases: Collection[str]) -> None:
        if self._links is not None:
            self._links.refuse_taken(name, aliases)

    @contextmanager
    def _linking(self, name: str, aliases: Collection[str]) -> Iterator[None]:
        """Brings ComfyUI's links to what the aliases are at the end of its `with` block, which may add these."""
        if self._links is None:
            yield
            return
        with self._linking_lock:
            self._refuse_taken_links(name, aliases)
            before = self._links_of(name)
            yield
            self._links.update(name, before, self._links_of(name))

    def _relink(self) -> None:
        """Makes the links that a server which was killed had no time for, or that another one has made too late."""
        if self._links is None:
            return
        for name in self._links.aliased():
            with self._linking_lock, suppress(RegisteredModelNotFound, ModelVersionNotFound):
                self._links.update(name, {}, self._links_of(name))

    def _show_models(self, models: Sequence[RegisteredModel]) -> list[RegisteredModelView]:
        latest = self._store.latest_of(models)
        return [
            RegisteredModelView(
                name=model.name,
                owner=model.owner,
                description=model.description,
                tags=model.tags,
                created_at=model.created_at,
                updated_at=model.updated_at,
                versions=model.versions,
                aliases=model.aliases,
                latest=self._show(model.name, latest[model.serial]) if model.serial in latest else None,
            )
            for model in models
        ]

    def _show(self, name: str, version: ModelVersion) -> ModelVersionView:
        path = None
        with suppress(BlobMissing):
            path = str(self._blobs.path(version.sha256))
        return ModelVersionView(
            model=name,
            version=version.ordinal,
            aliases=version.aliases,
            sha256=version.sha256,
            size_bytes=version.size_bytes,
            file_name=version.file_name,
            download=f"{BASE_PATH}/models/registry/{name}/versions/{version.ordinal}/file",
            path=path,
            created_at=version.created_at,
            actor=version.actor,
            notes=version.notes,
            tags=version.tags,
            samples=version.samples,
            origin=version.origin,
            format=version.format,
        )
