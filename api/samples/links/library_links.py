"""Links in ComfyUI's directory of LoRAs, one for each version with an alias."""

import logging
import os
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from api.errors import BlobMissing, Conflict
from api.files.blobs import BlobStore
from api.samples.links.store import LinkedVersions

logger = logging.getLogger(__name__)


class ComfyLinks:
    """The links of one directory. Files of others there are neither changed nor removed."""

    def __init__(self, directory: Path, blobs: BlobStore, versions: LinkedVersions) -> None:
        self._directory = directory
        self._blobs = blobs
        self._versions = versions

    def refuse_taken(self, model: str, aliases: Collection[str]) -> None:
        """Raise Conflict if a link of another model has the file name that one of these aliases needs."""
        taken = self._versions.others_named([f"{model}-{alias}" for alias in aliases], model)
        if taken:
            raise Conflict(
                f"{taken[0]}.safetensors in ComfyUI's directory belongs to another model."
                " Choose another alias, or another name for the model."
            )

    def update(self, model: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
        """Update the links of a model after a change of its aliases, given as hashes by alias. Return the problems."""
        problems = []
        for alias in sorted(before.keys() | after.keys()):
            old, new = before.get(alias), after.get(alias)
            try:
                if old is not None and old != new:
                    self._remove(self._path(model, alias), old)
                if new is not None:
                    self._link(model, self._path(model, alias), new)
            except (OSError, BlobMissing) as error:
                problems.append(f"{model}-{alias}: {getattr(error, 'strerror', None) or error}")
        for problem in problems:
            logger.warning("link for ComfyUI could not be created", extra={"problem": problem})
        return problems

    def _path(self, model: str, alias: str) -> Path:
        return self._directory / f"{model}-{alias}.safetensors"

    def _remove(self, path: Path, sha256: str) -> None:
        if self._is_ours(path, sha256):
            path.unlink(missing_ok=True)

    def aliased(self) -> list[str]:
        """Return the names of the models that have links."""
        return self._versions.aliased()

    def _link(self, model: str, path: Path, sha256: str) -> None:
        if self._is_ours(path, sha256):
            return
        # A server that was killed after its database change left a link to another version.
        other = self._blobs.hash_of(path)
        if other is not None and self._versions.has(model, other):
            path.unlink(missing_ok=True)
        if os.path.lexists(path):
            raise FileExistsError(17, "another file of this name is in ComfyUI's directory")
        made = path.with_name(f".{secrets.token_hex(8)}.link")
        try:
            self._blobs.link_into(sha256, made)
            # A link, not a rename, because it does not replace a file that appeared in the meantime.
            os.link(made, path, follow_symlinks=False)
        finally:
            with suppress(OSError):
                made.unlink()

    def _is_ours(self, path: Path, sha256: str) -> bool:
        """Return whether the path is the file of this hash, by its inode, or a broken link to it."""
        try:
            blob = self._blobs.path(sha256)
        except BlobMissing:
            return False
        try:
            found, own = path.stat(), blob.stat()
        except OSError:
            return path.is_symlink() and Path(os.readlink(path)) == blob
        return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
