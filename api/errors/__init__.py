"""The errors that the service answers with, each with its HTTP status, code and message.

Modules raise them where the fact is known; `api.app` and `api.web` turn them into answers.

ServiceError                      500 internal_error
  ChecksumMismatch                460 checksum_mismatch
  Conflict                        409 conflict
    CacheBuilding                 409 cache_building
    CacheExists                   409 cache_exists
    CacheInUse                    409 cache_in_use
    DatasetChanged                409 dataset_changed
    DatasetExists                 409 dataset_exists
    DatasetInUse                  409 dataset_in_use
    DatasetIsRegistered           409 dataset_is_registered
    GPUBusy                       409 gpu_busy
    GPULost                       409 gpu_lost
    KeyEnded                      409 key_ended
    LastAdministrator             409 last_administrator
    ModelExists                   409 model_exists
    NoCheckpoint                  409 no_checkpoint
    NodeDrained                   409 node_drained
    NodeIsThere                   409 node_is_there
    NodeNameTaken                 409 node_name_taken
    NotTraining                   409 not_training
    PicklesRefused                409 pickles_refused
    ProcessNotRunning             409 process_not_running
    QuotaExceeded                 409 quota_exceeded
    ReportReplayed                409 report_replayed
    RequestInProgress             409 request_in_progress
    TaskActive                    409 task_active
    TaskExists                    409 task_exists
    TaskIsTraining                409 task_is_training
    TaskNotFinished               409 task_not_finished
    TaskNotStoppable              409 task_finished
    TooManySamples                409 too_many_samples
    UploadConflict                409 upload_conflict
    VersionInUse                  409 version_in_use
  DatabaseUnavailable             503 database_unavailable
    DatabaseDamaged               503 database_damaged
    StorageFull                   503 storage_full
    StorageGone                   503 storage_gone
  Forbidden                       403 forbidden
    CrossSite                     403 cross_site
    NotYours                      403 not_yours
  HeadersTooLarge                 431 headers_too_large
  HostNotAllowed                  403 host_not_allowed
  IdempotencyKeyReused            422 idempotency_key_reused
  InsufficientGPUs                507 insufficient_gpus
  InsufficientStorage             507 insufficient_storage
  Invalid                         422 validation_failed
    ArchiveRefused                422 archive_refused
  InvalidPattern                  400 invalid_pattern
  KeyInAddress                    400 key_in_address
  MalformedRequest                400 malformed_request
  MethodNotAllowed                405 method_not_allowed
  NotFound                        404 not_found
    AlertNotFound                 404 alert_not_found
    ArtifactNotFound              404 artifact_not_found
    DatasetNotFound               404 dataset_not_found
      HiddenDataset               404 dataset_not_found
    GPUNotFound                   404 gpu_not_found
    HoldNotFound                  404 hold_not_found
    ItemNotFound                  404 item_not_found
    KeyNotFound                   404 key_not_found
    ModelNotFound                 404 model_not_found
    ModelVersionNotFound          404 model_version_not_found
    NoPicture                     404 no_picture
    NodeNotFound                  404 node_not_found
    NotTrained                    404 not_trained
    OrphanNotFound                404 stray_not_found
    PresetNotFound                404 preset_not_found
    RegisteredModelNotFound       404 registered_model_not_found
      HiddenModel                 404 registered_model_not_found
    SampleNotFound                404 sample_not_found
    TaskNotFound                  404 task_not_found
      HiddenTask                  404 task_not_found
    UploadNotFound                404 upload_not_found
      HiddenUpload                404 upload_not_found
    UserNotFound                  404 user_not_found
    VersionNotFound               404 version_not_found
    WeightsNotFound               404 weights_not_found
  OriginNotAllowed                403 origin_not_allowed
  RangeNotSatisfiable             416 range_not_satisfiable
  RateLimited                     429 rate_limited
  RequestTimeout                  408 request_timeout
  SampleRefused                   422 sample_refused
  TooLarge                        413 body_too_large
  TooManyStreams                  503 too_many_streams
  TusVersionUnknown               412 tus_version_unknown
  Unauthenticated                 401 unauthenticated
    KeyExpired                    401 key_expired
    KeyRevoked                    401 key_revoked
    SignInFailed                  401 sign_in_failed
    WrongKey                      401 wrong_key
      SessionEnded                401 session_ended
      WrongTicket                 401 wrong_ticket
  Unavailable                     503 unavailable
    BlobMissing                   503 blob_missing
    CheckBusy                     503 check_busy
    DecoderBusy                   503 decoder_busy
    KeysUnknown                   503 keys_unknown
    SearchBusy                    503 search_busy
  UnsupportedMediaType            415 unsupported_media_type
  WeightsRefused                  422 weights_refused
"""

from api.errors.access import *  # noqa: F403
from api.errors.base import *  # noqa: F403
from api.errors.datasets import *  # noqa: F403
from api.errors.models import *  # noqa: F403
from api.errors.tasks import *  # noqa: F403
