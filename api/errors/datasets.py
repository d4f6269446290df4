"""Errors of datasets, uploads and caches."""

from typing import Self

from api.errors.base import Conflict, Invalid, NotFound, ServiceError, Unavailable


class DatasetNotFound(NotFound):
    """A name that belongs to no dataset, or to a deleted one."""

    code = "dataset_not_found"
    message = "No dataset has this name. List the datasets to find the right one."

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the error for this name."""
        return cls(f'No dataset is called "{name[:100]}".')


class HiddenDataset(DatasetNotFound):
    """A dataset that the caller may not see.

    The answer is that of one that does not exist; only the audit records more.
    """

    is_refusal = True


class VersionNotFound(NotFound):
    """A version that the dataset does not have."""

    code = "version_not_found"
    message = "The dataset has no such version. List its versions to find the right one."


class ItemNotFound(NotFound):
    """An id that belongs to no item of the version."""

    code = "item_not_found"
    message = "The version has no item with this id. List its items to find the right one."


class NoPicture(NotFound):
    """A picture of an item that cannot be drawn."""

    code = "no_picture"
    message = "No picture can be made of this item. Check that its file is intact."


class NotTrained(NotFound):
    """An item as the trainer sees it, where the trainer skips the item."""

    code = "not_trained"
    message = "The trainer does not train on this item. The check of its dataset gives the reason."


class UploadNotFound(NotFound):
    """An id that belongs to no upload."""

    code = "upload_not_found"
    message = "No upload has this id: it was never started, was deleted, or has expired. Start a new one."


class HiddenUpload(UploadNotFound):
    """An upload of another user. The answer is that of one that does not exist; only the audit records more."""

    is_refusal = True


class DatasetExists(Conflict):
    """A new dataset with a name that is in use."""

    code = "dataset_exists"
    message = "A dataset with this name exists already. Choose another name."


class DatasetInUse(Conflict):
    """The deletion of a dataset that tasks need."""

    code = "dataset_in_use"
    message = "Tasks that have not finished use this dataset. Stop them first."


class DatasetChanged(Conflict):
    """An edit of a version that is no longer the newest."""

    code = "dataset_changed"
    message = "The dataset has changed since it was read. Look at its newest version, then try again."


class DatasetIsRegistered(Conflict):
    """An edit of a dataset that is a directory on the server."""

    code = "dataset_is_registered"
    message = "This dataset is a directory on the server, which the service only reads. Change the files there."


class UploadConflict(Conflict):
    """A part of an upload at the wrong offset, or while another request writes."""

    code = "upload_conflict"
    message = (
        "The upload is not at this offset, or another client writes it. Request its offset, then continue from there."
    )


class ArchiveRefused(Invalid):
    """An archive with an entry that the service does not accept."""

    code = "archive_refused"
    message = (
        "The archive holds an entry that is not accepted; nothing of it was stored. "
        "Remove the entry, then send the archive again."
    )


class TusVersionUnknown(ServiceError):
    """An upload with another version of the tus protocol than 1.0.0."""

    code, status = "tus_version_unknown", 412
    message = "This service supports version 1.0.0 of tus. Send the header Tus-Resumable: 1.0.0."


class ChecksumMismatch(ServiceError):
    """Bytes whose checksum differs from the announced one."""

    code, status = "checksum_mismatch", 460
    message = "The received bytes do not have the announced checksum; none of them was stored. Send them again."


class BlobMissing(Unavailable):
    """A file of a dataset that is missing in the storage."""

    code = "blob_missing"
    message = (
        "A file of this dataset is missing in the storage. Upload it again, or restore DATASETS_ROOT from a backup."
    )


class DecoderBusy(Unavailable):
    """A picture or clip while every decoder process is busy."""

    code = "decoder_busy"
    message = "All processes that decode media are busy. Try again in a moment."


class CacheExists(Conflict):
    """The caching of a dataset that is cached already."""

    code = "cache_exists"
    message = "This is cached already, and a training uses the cache automatically. Start the training."


class CacheBuilding(Conflict):
    """The caching of a dataset that another task is caching."""

    code = "cache_building"
    message = "Another task makes this cache. Wait for it, or start a training, which waits for the cache."


class CacheInUse(Conflict):
    """The deletion of a cache that trainings need."""

    code = "cache_in_use"
    message = "Trainings that have not finished use this cache. Stop them first."
