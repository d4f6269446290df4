"""Export versions as zip files in the layouts of trainers; the zip is created while it is sent."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from api.datasets.items.media import DatasetMedia
from api.datasets.materials import flat_names
from api.datasets.service import DatasetService
from api.datasets.versions.dataset_toml import write_dataset_toml
from api.datasets.versions.reimport import MANIFEST
from api.domain.datasets.dataset import Dataset, ManifestItem, included_items
from api.util.files.stored_form import StreamedFile

#: Bytes of a file per read, and of the archive per sent part.
_CHUNK = 256 * 1024

#: The time of all files in an archive: the same version gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)

#: A zip entry of more bytes needs Zip64 fields, which must be chosen before it is written.
_LARGE = 2**31


class ExportForm(StrEnum):
    """The layout of an archive, named after the trainer that reads it."""

    TRAINER = "trainer"  #: diffusion-pipe: media with captions, masks, controls, dataset.toml, manifest
    KOHYA = "kohya"  #: a directory 1_NAME, dataset_config.toml
    AI_TOOLKIT = "ai_toolkit"  #: one directory, and a part of its configuration


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the archive: its content in parts, or the path of a file."""

    name: str
    parts: Iterable[bytes] = ()
    path: Path | None = None


class DatasetExport:
    """Makes archives of versions."""

    def __init__(self, datasets: DatasetService, media: DatasetMedia) -> None:
        self._datasets = datasets
        self._media = media

    def open(self, name: str, version: str | None, form: ExportForm) -> StreamedFile:
        """Return the archive of a version, without its excluded items.

        All files are located before the first byte is sent. Raises DatasetNotFound, VersionNotFound, BlobMissing,
        DatasetChanged.
        """
        dataset = self._datasets.find(name)
        found = self._datasets.find_version(dataset, version)
        self._datasets.retain(dataset, found)
        items = included_items(self._datasets.read_items(found.manifest_sha256))
        entries = list(self._lay_out(dataset, items, form))
        if form is ExportForm.TRAINER:
            entries.append(_Entry(MANIFEST, self._datasets.manifest_lines(found.manifest_sha256)))
        return StreamedFile(f"{name}-{found.ordinal}-{form}.zip", "application/zip", _zip(entries))

    def _lay_out(self, dataset: Dataset, items: Sequence[ManifestItem], form: ExportForm) -> Iterator[_Entry]:
        root = _ROOTS[form].format(name=dataset.name)
        names = flat_names(items)
        has_masks = any(item.mask_sha256 is not None for item in items)
        has_controls = any(item.control_sha256 is not None for item in items)
        file, text = _settings(form, dataset.name, has_masks=has_masks, has_controls=has_controls)
        yield _Entry(file, [text])
        for item in items:
            file = names[item.path]
            stem = PurePosixPath(file).stem
            yield _Entry(f"{root}/{file}", path=self._media.source_of(dataset, item).path)
            if item.caption is not None:
                yield _Entry(f"{root}/{stem}.txt", [item.caption.encode()])
            for directory, sha256 in (("masks", item.mask_sha256), ("controls", item.control_sha256)):
                if sha256 is not None:
                    beside = ManifestItem(item.path, sha256, -1)
                    yield _Entry(f"{directory}/{stem}.png", path=self._media.source_of(dataset, beside).path)


_ROOTS = {ExportForm.TRAINER: "media", ExportForm.KOHYA: "1_{name}", ExportForm.AI_TOOLKIT: "{name}"}


def _settings(form: ExportForm, name: str, *, has_masks: bool, has_controls: bool) -> tuple[str, bytes]:
    """Return name and text of the file that tells the trainer where the files are."""
    if form is ExportForm.TRAINER:
        directory = {
            "path": "media",
            "mask_path": "masks" if has_masks else None,
            "control_path": "controls" if has_controls else None,
        }
        note = "# Paths are relative to the directory that the trainer is started in.\n"
        return "dataset.toml", (note + write_dataset_toml(directory)).encode()
    if form is ExportForm.KOHYA:
        text = (
            '[general]\ncaption_extension = ".txt"\nenable_bucket = true\n\n[[datasets]]\nresolution = 512\n\n'
            f'[[datasets.subsets]]\nimage_dir = "1_{name}"\nnum_repeats = 1\n'
        )
        return "dataset_config.toml", text.encode()
    masks = '\n    mask_path: "masks"' if has_masks else ""
    controls = '\n    control_path: "controls"' if has_controls else ""
    text = (
        f'datasets:\n  - folder_path: "{name}"{masks}{controls}\n    caption_ext: "txt"\n'
        "    resolution: [512]\n    cache_latents_to_disk: true\n"
    )
    return "ai_toolkit_datasets.yaml", text.encode()


class _Pipe(io.RawIOBase):
    """The file object that the archive is written to; it cannot seek."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def take(self) -> bytes:
        """Return and clear the bytes written since the last call."""
        written, self._parts, self.size = b"".join(self._parts), [], 0
        return written


def _zip(entries: Sequence[_Entry]) -> Iterator[bytes]:
    """Yield the archive in parts. Media files are compressed already, so they are stored as they are."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            for part in _read(entry, archive):
                if pipe.size + len(part) >= _CHUNK:
                    yield pipe.take()
    yield pipe.take()


def _read(entry: _Entry, archive: zipfile.ZipFile) -> Iterator[bytes]:
    """Write an entry, and yield each part after it is written."""
    info = zipfile.ZipInfo(entry.name, _TIME)
    info.external_attr = 0o644 << 16
    if entry.path is None:
        with archive.open(info, "w") as target:
            for part in entry.parts:
                target.write(part)
                yield part
        return
    is_large = entry.path.stat().st_size >= _LARGE
    with entry.path.open("rb") as file, archive.open(info, "w", force_zip64=is_large) as target:
        while part := file.read(_CHUNK):
            target.write(part)
            yield part
