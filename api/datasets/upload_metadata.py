"""What clients say of their uploads: which dataset they are for, what they are called and what they are."""

import re
from collections.abc import Mapping

from api.domain.dataset import DATASET_NAME
from api.domain.upload import UploadBatch, UploadKind, metadata_text
from api.errors import Invalid, Mistake
from api.files.archives.entries import form_of
from api.files.archives.limits import BadArchive
from api.files.archives.names import check_name

#: Directories above a file of a dataset.
DEPTH = 16

_NAME = re.compile(DATASET_NAME, re.ASCII)


#: What a client may call the uploads that it begins together, and how many these may be.
_BATCH = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
MOST_IN_BATCH = 250_000


def read_batch(metadata: Mapping[str, str]) -> UploadBatch | None:
    """Return the batch that an upload belongs to; None for none. Raises Invalid."""
    name, size = metadata_text(metadata, "batch"), metadata_text(metadata, "batch_size")
    if name is None and size is None:
        return None
    if name is None or _BATCH.fullmatch(name) is None:
        what = "must have letters, digits, _ and -, at most 64 of them"
        raise Invalid(mistakes=[Mistake("/Upload-Metadata/batch", what, "Give it together with batch_size.")])
    if size is None or not size.isascii() or not size.isdigit() or not 1 <= int(size[:9]) <= MOST_IN_BATCH:
        what = f"must be how many uploads the batch has, from 1 to {MOST_IN_BATCH:,}"
        raise Invalid(mistakes=[Mistake("/Upload-Metadata/batch_size", what, "Give it together with batch.")])
    return UploadBatch(name, int(size))


def kind_of(head: bytes) -> UploadKind:
    """What begins like this is to become, where its client does not say."""
    return UploadKind.ITEM if form_of(head) is None else UploadKind.ARCHIVE


def check_dataset_name(name: str | None, pointer: str) -> list[Mistake]:
    """What is wrong with a dataset's name."""
    if name is None:
        return [Mistake(pointer, "names no dataset", "Say which dataset this is for; a new one is made.")]
    if _NAME.fullmatch(name) is None:
        return [Mistake(pointer, "is no name of a dataset: letters, digits, . _ and - are, at most 100 of them")]
    return []


def check_filename(name: str | None, pointer: str) -> list[Mistake]:
    """What is wrong with the path of a file below its dataset."""
    try:
        if name is not None:
            check_name(name, DEPTH)
    except BadArchive as error:
        return [Mistake(pointer, f'"{error.entry}" {error.reason}')]
    return []


def read_metadata(metadata: Mapping[str, str]) -> tuple[str, str | None, UploadKind | None]:
    """The dataset, the path below it, and the kind. Raises Invalid with every mistake."""
    filename = metadata_text(metadata, "relativePath") or metadata_text(metadata, "filename")
    dataset, word = metadata_text(metadata, "dataset"), metadata_text(metadata, "kind")
    mistakes = check_dataset_name(dataset, "/Upload-Metadata/dataset")
    mistakes += check_filename(filename, "/Upload-Metadata/filename")
    if word not in (None, UploadKind.ITEM, UploadKind.ARCHIVE):
        mistakes.append(
            Mistake("/Upload-Metadata/kind", "must be item, archive, model or sample; left out, its content tells")
        )
    if mistakes or dataset is None:
        raise Invalid(mistakes=mistakes)
    return dataset, filename, None if word is None else UploadKind(word)
