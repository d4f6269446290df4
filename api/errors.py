"""What can go wrong, as exceptions: raised deep, mapped to an answer once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a request: a JSON pointer to it ("/gpu_ids/0"), what is wrong there, and what to do about it.

    `code` is a stable word for the message, where there is one, and `params` are the values that the message names.
    """

    pointer: str
    message: str
    remedy: str | None = None
    code: str | None = None
    params: Mapping[str, Any] | None = field(default=None, compare=False)


class ServiceError(Exception):
    """Something went wrong inside the service."""

    code = "internal_error"  #: the stable word that clients compare
    status = 500  #: the HTTP status
    is_refusal = False  #: somebody may not do what they asked for: the audit keeps it

    def __init__(
        self,
        detail: str | None = None,
        *,
        data: Any = None,
        mistakes: Sequence[Mistake] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        """`detail` is the message, by default the class's docstring; `data` is what helps the caller to go on."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)
        self.data = data
        self.mistakes = tuple(mistakes)
        self.headers = headers or {}


class MalformedRequest(ServiceError):
    """The request cannot be read."""

    code, status = "malformed_request", 400


class InvalidPattern(ServiceError):
    """The pattern is no regular expression that RE2 takes."""

    code, status = "invalid_pattern", 400


class HostNotAllowed(ServiceError):
    """The Host header names a machine that this service does not answer for."""

    code, status = "host_not_allowed", 403
    is_refusal = True


class OriginNotAllowed(ServiceError):
    """A page of another origin may not use this service."""

    code, status = "origin_not_allowed", 403
    is_refusal = True


class Unauthenticated(ServiceError):
    """A key is needed: send it as `Authorization: Bearer dp_…`."""

    code, status = "unauthenticated", 401
    is_refusal = True

    def __init__(self, detail: str | None = None, *, data: Any = None) -> None:
        """Says in the answer's WWW-Authenticate which way to authenticate is taken."""
        super().__init__(detail, data=data, headers={"WWW-Authenticate": "Bearer"})


class WrongKey(Unauthenticated):
    """This key is not known here."""

    code = "wrong_key"


class SessionEnded(WrongKey):
    """This sign-in has ended: sign in again."""

    code = "session_ended"


class WrongTicket(WrongKey):
    """This ticket opens nothing: it was used, has expired, or is shown where none is taken."""

    code = "wrong_ticket"


class SignInFailed(Unauthenticated):
    """Signing in failed."""

    code = "sign_in_failed"


class KeyExpired(Unauthenticated):
    """This key has expired: ask for a new one."""

    code = "key_expired"


class KeyRevoked(Unauthenticated):
    """This key was revoked."""

    code = "key_revoked"


class KeyInAddress(ServiceError):
    """A key was sent in the address, where logs and histories keep it: send it in a header, and have it replaced."""

    code, status = "key_in_address", 400
    is_refusal = True


class Forbidden(ServiceError):
    """The key does not permit this."""

    code, status = "forbidden", 403
    is_refusal = True


class NotYours(Forbidden):
    """This belongs to somebody else."""

    code = "not_yours"


class CrossSite(Forbidden):
    """A browser's sign-in counts for requests of this service's own page only."""

    code = "cross_site"


class NotFound(ServiceError):
    """There is nothing at this address."""

    code, status = "not_found", 404


class GPUNotFound(NotFound):
    """No GPU has this index or UUID."""

    code = "gpu_not_found"


class TaskNotFound(NotFound):
    """No task has this id."""

    code = "task_not_found"


class HiddenTask(TaskNotFound):
    """No task has this id."""  # that one does, only the audit learns

    is_refusal = True


class KeyNotFound(NotFound):
    """No key has this id."""

    code = "key_not_found"


class UserNotFound(NotFound):
    """Nobody has this name."""

    code = "user_not_found"


class StrayNotFound(NotFound):
    """No attempt that the database does not know has this name."""

    code = "stray_not_found"


class AlertNotFound(NotFound):
    """No alert, rule, silence or channel has this id."""

    code = "alert_not_found"


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


class ModelNotFound(NotFound):
    """The trainer knows no model type of this name."""

    code = "model_not_found"


class RegisteredModelNotFound(NotFound):
    """No model is registered under this name."""

    code = "registered_model_not_found"


class HiddenModel(RegisteredModelNotFound):
    """No model is registered under this name."""  # that one is, only the audit learns

    is_refusal = True


class ModelVersionNotFound(NotFound):
    """This model has no such version."""

    code = "model_version_not_found"


class PresetNotFound(NotFound):
    """This model type has no preset of this name."""

    code = "preset_not_found"


class WeightsNotFound(NotFound):
    """There are no weights at this path that the service can read."""

    code = "weights_not_found"


class MethodNotAllowed(ServiceError):
    """This address does not take this method."""

    code, status = "method_not_allowed", 405


class RequestTimeout(ServiceError):
    """The request did not arrive in time."""

    code, status = "request_timeout", 408


class Conflict(ServiceError):
    """The request contradicts the present state."""

    code, status = "conflict", 409


class GPUBusy(Conflict):
    """The GPU is held by another task."""

    code = "gpu_busy"


class GPULost(Conflict):
    """The GPU does not answer; the driver reports it as lost."""

    code = "gpu_lost"


class TaskExists(Conflict):
    """A task with this id exists already."""

    code = "task_exists"


class TaskNotFinished(Conflict):
    """The task has not finished: stop it first."""

    code = "task_not_finished"


class TaskNotStoppable(Conflict):
    """The task has finished already: there is nothing to stop."""

    code = "task_finished"


class TaskActive(Conflict):
    """The task is queued or runs already."""

    code = "task_active"


class NoCheckpoint(Conflict):
    """There is no complete checkpoint to go on from; restart begins anew."""

    code = "no_checkpoint"


class TaskIsTraining(Conflict):
    """This task is held by the training routes: stop it there."""

    code = "task_is_training"


class ProcessNotRunning(Conflict):
    """No process with this pid runs on this machine."""

    code = "process_not_running"


class ModelExists(Conflict):
    """A model is called so already."""

    code = "model_exists"


class PicklesRefused(Conflict):
    """This is published as a pickle, which can hold code."""

    code = "pickles_refused"


class VersionInUse(Conflict):
    """This version has aliases, or a task needs it."""

    code = "version_in_use"


class RequestInProgress(Conflict):
    """A request with this Idempotency-Key is still being worked on; ask again."""

    code = "request_in_progress"


class KeyEnded(Conflict):
    """The key has expired, was revoked, or was replaced by another."""

    code = "key_ended"


class LastAdministrator(Conflict):
    """This is the only key that may do everything: make another one first, or say `force`."""

    code = "last_administrator"


class QuotaExceeded(Conflict):
    """This is more than the user's quota permits."""

    code = "quota_exceeded"
    is_refusal = True


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


class TooLarge(ServiceError):
    """The request body is larger than this service takes."""

    code, status = "body_too_large", 413


class UnsupportedMediaType(ServiceError):
    """The body must be JSON: send Content-Type: application/json."""

    code, status = "unsupported_media_type", 415


class Invalid(ServiceError):
    """The request is well-formed, but some of its values are not valid."""

    code, status = "validation_failed", 422


class ArchiveRefused(Invalid):
    """The archive holds something that is not taken; nothing of it was kept."""

    code = "archive_refused"


class WeightsRefused(ServiceError):
    """This file is no whole safetensors file."""

    code, status = "weights_refused", 422


class IdempotencyKeyReused(ServiceError):
    """This Idempotency-Key was used before with another body."""

    code, status = "idempotency_key_reused", 422


class HeadersTooLarge(ServiceError):
    """The request's headers are larger than this service takes."""

    code, status = "headers_too_large", 431


class RangeNotSatisfiable(ServiceError):
    """The range lies outside of the file."""

    code, status = "range_not_satisfiable", 416


class RateLimited(ServiceError):
    """There were more requests of this kind than the limit permits: ask again later."""

    code, status = "rate_limited", 429
    is_refusal = True


class TusVersionUnknown(ServiceError):
    """Version 1.0.0 of tus is spoken here: send the header Tus-Resumable: 1.0.0."""

    code, status = "tus_version_unknown", 412


class ChecksumMismatch(ServiceError):
    """The bytes that came have another checksum than was announced: none of them was kept, send them again."""

    code, status = "checksum_mismatch", 460


class InsufficientGPUs(ServiceError):
    """This machine can never serve the request."""

    code, status = "insufficient_gpus", 507


class InsufficientStorage(ServiceError):
    """There is too little free disk space."""

    code, status = "insufficient_storage", 507


class DatabaseUnavailable(ServiceError):
    """The database does not answer; nothing was changed. Ask again."""

    code, status = "database_unavailable", 503


class StorageGone(DatabaseUnavailable):
    """What this service keeps has been moved, deleted or replaced under it; nothing was changed."""

    code = "storage_gone"


class DatabaseDamaged(DatabaseUnavailable):
    """The database is damaged; nothing was changed. Restore it from a backup."""

    code = "database_damaged"


class StorageFull(DatabaseUnavailable):
    """The disk of the database is full; nothing was changed."""

    code = "storage_full"


class Unavailable(ServiceError):
    """The service cannot answer this now."""

    code, status = "unavailable", 503


class BlobMissing(Unavailable):
    """A file of this dataset is missing in the storage: upload it again, or restore DATASETS_ROOT from a backup."""

    code = "blob_missing"


class KeysUnknown(Unavailable):
    """The keys cannot be checked: the database has not answered for more than a minute."""

    code = "keys_unknown"


class TooManyStreams(ServiceError):
    """There are too many live streams."""

    code, status = "too_many_streams", 503


class SearchBusy(Unavailable):
    """As many searches are running as are allowed at a time: ask again in a moment."""

    code = "search_busy"


class CheckBusy(Unavailable):
    """As many requests are being checked as are allowed at a time: ask again in a moment."""

    code = "check_busy"


class DecoderBusy(Unavailable):
    """All processes that decode media are at work: ask again in a moment."""

    code = "decoder_busy"
