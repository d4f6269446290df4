"""What can go wrong about datasets and uploads."""

from api.errors.base import Conflict, Invalid, NotFound, ServiceError, Unavailable


class DatasetNotFound(NotFound):
    """No dataset has this name."""

    code = "dataset_not_found"


class HiddenDataset(DatasetNotFound):
    """No dataset has this name."""  # that one does, only the audit learns

    is_refusal = True


class VersionNotFound(NotFound):
    """The dataset has no such version."""

    code = "version_not_found"


class ItemNotFound(NotFound):
    """The version has no item with this id."""

    code = "item_not_found"


class NoPicture(NotFound):
    """No picture can be made of this item."""

    code = "no_picture"


class NotTrained(NotFound):
    """The trainer does not train on this item: the check of its dataset says why."""

    code = "not_trained"


class UploadNotFound(NotFound):
    """No upload has this id: it was never begun, was taken away, or has expired."""

    code = "upload_not_found"


class HiddenUpload(UploadNotFound):
    """No upload has this id: it was never begun, was taken away, or has expired."""  # whose it is, the audit learns

    is_refusal = True


class DatasetExists(Conflict):
    """A dataset with this name exists already."""

    code = "dataset_exists"


class DatasetInUse(Conflict):
    """Tasks that have not finished use this dataset: stop them first."""

    code = "dataset_in_use"


class DatasetChanged(Conflict):
    """The dataset has changed since it was read: look at its newest version, and try again."""

    code = "dataset_changed"


class DatasetIsRegistered(Conflict):
    """This dataset is a directory on the server, which is only read: change the files there."""

    code = "dataset_is_registered"


class UploadConflict(Conflict):
    """The upload is not at this offset, or somebody else writes it: ask how far it is."""

    code = "upload_conflict"


class ArchiveRefused(Invalid):
    """The archive holds something that is not taken; nothing of it was kept."""

    code = "archive_refused"


class TusVersionUnknown(ServiceError):
    """Version 1.0.0 of tus is spoken here: send the header Tus-Resumable: 1.0.0."""

    code, status = "tus_version_unknown", 412


class ChecksumMismatch(ServiceError):
    """The bytes that came have another checksum than was announced: none of them was kept, send them again."""

    code, status = "checksum_mismatch", 460


class BlobMissing(Unavailable):
    """A file of this dataset is missing in the storage: upload it again, or restore DATASETS_ROOT from a backup."""

    code = "blob_missing"


class DecoderBusy(Unavailable):
    """All processes that decode media are at work: ask again in a moment."""

    code = "decoder_busy"


class CacheExists(Conflict):
    """This is cached already, and a training uses it by itself: start the training."""

    code = "cache_exists"


class CacheBuilding(Conflict):
    """A task that waits or runs makes this very cache: a training that is started now waits for it."""

    code = "cache_building"


class CacheInUse(Conflict):
    """Trainings that have not finished use this cache: stop them first."""

    code = "cache_in_use"
