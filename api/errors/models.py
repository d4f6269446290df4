"""What can go wrong about files of weights and named models."""

from api.errors.base import Conflict, NotFound, ServiceError


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


class SampleNotFound(NotFound):
    """The version has no sample of this id."""

    code = "sample_not_found"


class PresetNotFound(NotFound):
    """This model type has no preset of this name."""

    code = "preset_not_found"


class WeightsNotFound(NotFound):
    """There are no weights at this path that the service can read."""

    code = "weights_not_found"


class ModelExists(Conflict):
    """A model is called so already."""

    code = "model_exists"


class PicklesRefused(Conflict):
    """This is published as a pickle, which can hold code."""

    code = "pickles_refused"


class VersionInUse(Conflict):
    """This version has aliases, or a task needs it."""

    code = "version_in_use"


class TooManySamples(Conflict):
    """This version has as many samples as it may have: delete some of them first."""

    code = "too_many_samples"


class SampleRefused(ServiceError):
    """This file is no picture or clip that every browser shows."""

    code, status = "sample_refused", 422


class WeightsRefused(ServiceError):
    """This file is no whole safetensors file."""

    code, status = "weights_refused", 422
