"""Read the metadata that clients send with uploads: dataset, file name, kind and batch."""

import re
from collections.abc import Mapping

from api.domain.datasets.dataset import DATASET_NAME
from api.domain.datasets.upload import UploadBatch, UploadKind, metadata_text
from api.domain.finding import make_finding
from api.errors import Finding, FindingText, Invalid
from api.files.archives.entries import form_of
from api.files.archives.limits import BadArchive
from api.files.archives.names import check_name

#: Most directories above a file of a dataset.
DEPTH = 16

_NAME = re.compile(DATASET_NAME, re.ASCII)


#: The form of a batch's name, and the most uploads in a batch.
_BATCH = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
MOST_IN_BATCH = 250_000


def read_batch(metadata: Mapping[str, str]) -> UploadBatch | None:
    """Return the batch that an upload belongs to, or None. Raises Invalid."""
    name, size = metadata_text(metadata, "batch"), metadata_text(metadata, "batch_size")
    if name is None and size is None:
        return None
    if name is None or _BATCH.fullmatch(name) is None:
        raise Invalid(
            mistakes=[
                make_finding(
                    "/Upload-Metadata/batch",
                    FindingText(
                        "batch_invalid",
                        "must consist of at most 64 letters, digits, _ and -",
                        "Set it together with batch_size.",
                    ),
                )
            ]
        )
    if size is None or not size.isascii() or not size.isdigit() or not 1 <= int(size[:9]) <= MOST_IN_BATCH:
        mistake = make_finding(
            "/Upload-Metadata/batch_size",
            FindingText(
                "uploads_in_batch_invalid",
                "must be the number of uploads in the batch, from 1 to {most}",
                "Set it together with batch.",
            ),
            most=f"{MOST_IN_BATCH:,}",
        )
        raise Invalid(mistakes=[mistake])
    return UploadBatch(name, int(size))


def kind_of(head: bytes) -> UploadKind:
    """Return the kind of an upload whose first bytes are these."""
    return UploadKind.ITEM if form_of(head) is None else UploadKind.ARCHIVE


def check_dataset_name(name: str | None, pointer: str) -> list[Finding]:
    """Return the errors in a dataset's name."""
    if name is None:
        return [
            make_finding(
                pointer,
                FindingText(
                    "dataset_missing", "is missing", "Set it to the name of a dataset; a new dataset is created."
                ),
            )
        ]
    if _NAME.fullmatch(name) is None:
        return [
            make_finding(
                pointer,
                FindingText(
                    "dataset_name_not_allowed", "is not a dataset name: use at most 100 letters, digits, . _ and -"
                ),
            )
        ]
    return []


def check_filename(name: str | None, pointer: str) -> list[Finding]:
    """Return the errors in the path of a file in a dataset."""
    try:
        if name is not None:
            check_name(name, DEPTH)
    except BadArchive as error:
        return [
            make_finding(pointer, FindingText("filename_refused", '"{name}" {why}'), name=error.entry, why=error.reason)
        ]
    return []


def read_metadata(metadata: Mapping[str, str]) -> tuple[str, str | None, UploadKind | None]:
    """Return the dataset, the path in it, and the kind. Raises Invalid with all errors."""
    filename = metadata_text(metadata, "relativePath") or metadata_text(metadata, "filename")
    dataset, kind = metadata_text(metadata, "dataset"), metadata_text(metadata, "kind")
    mistakes = check_dataset_name(dataset, "/Upload-Metadata/dataset")
    mistakes += check_filename(filename, "/Upload-Metadata/filename")
    if kind not in (None, UploadKind.ITEM, UploadKind.ARCHIVE):
        mistakes.append(
            make_finding(
                "/Upload-Metadata/kind",
                FindingText(
                    "upload_kind_unknown", "must be item, archive, model or sample; if omitted, the content decides"
                ),
            )
        )
    if mistakes or dataset is None:
        raise Invalid(mistakes=mistakes)
    return dataset, filename, None if kind is None else UploadKind(kind)
