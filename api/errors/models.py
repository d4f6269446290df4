"""Errors of model types, files of weights and registered models."""

from typing import Self

from api.errors.base import Conflict, NotFound, ServiceError


class ModelNotFound(NotFound):
    """A model type that the trainer does not know."""

    code = "model_not_found"
    message = "The trainer has no model type of this name. List the model types to find the right one."


class RegisteredModelNotFound(NotFound):
    """A name that belongs to no registered model."""

    code = "registered_model_not_found"
    message = "No model is registered under this name. List the registered models to find the right one."

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the error for this name."""
        return cls(f'No model is called "{name[:100]}".')


class HiddenModel(RegisteredModelNotFound):
    """A model that the caller may not see.

    The answer is that of one that does not exist; only the audit records more.
    """

    is_refusal = True


class ModelVersionNotFound(NotFound):
    """A version that the registered model does not have."""

    code = "model_version_not_found"
    message = "This model has no such version. List its versions to find the right one."


class SampleNotFound(NotFound):
    """An id that belongs to no sample of the version."""

    code = "sample_not_found"
    message = "The version has no sample with this id. List its samples to find the right one."


class PresetNotFound(NotFound):
    """A preset that does not exist."""

    code = "preset_not_found"
    message = "This model type has no preset of this name. Choose one of those in the answer's data."

    @classmethod
    def named(cls, preset_id: str) -> Self:
        """Return the error for the id of a user's preset."""
        return cls(f'No preset has the id "{preset_id[:100]}". List the presets to find the right one.')


class HiddenPreset(PresetNotFound):
    """A preset that the caller may not see.

    The answer is that of one that does not exist; only the audit records more.
    """

    is_refusal = True


class WeightsNotFound(NotFound):
    """A path without weights that the service can read."""

    code = "weights_not_found"
    message = "The service can read no weights at this path. Correct the path, or let the service read it."


class ModelExists(Conflict):
    """A new model with a name that is in use."""

    code = "model_exists"
    message = "A model with this name exists already. Choose another name."


class PicklesRefused(Conflict):
    """Weights published as a pickle, where only safetensors are permitted."""

    code = "pickles_refused"
    message = (
        "These weights are published as a pickle, which can hold code. "
        "Choose safetensors, or set ALLOW_PICKLED_WEIGHTS=1."
    )


class VersionInUse(Conflict):
    """The deletion of a version that has aliases or that tasks need."""

    code = "version_in_use"
    message = "This version has aliases, or a task needs it. Remove the aliases, and stop the tasks first."


class PresetExists(Conflict):
    """A preset with a name that its owner uses already."""

    code = "preset_exists"
    message = "A preset of this name exists already. Choose another name, or change that preset."

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the error for this name."""
        return cls(f'A preset called "{name[:100]}" exists already. Choose another name, or change that preset.')


class TooManyPresets(Conflict):
    """A new preset of a user who has the permitted number."""

    code = "too_many_presets"
    message = "This user has the permitted number of presets already. Delete some of them first."


class TooManySamples(Conflict):
    """A new sample of a version that has the permitted number."""

    code = "too_many_samples"
    message = "This version has the permitted number of samples already. Delete some of them first."


class SampleRefused(ServiceError):
    """A sample that browsers cannot show."""

    code, status = "sample_refused", 422
    message = "This file is not a picture or clip that every browser shows. Send it in another format."


class WeightsRefused(ServiceError):
    """A file that is not complete and safe to load as weights."""

    code, status = "weights_refused", 422
    message = "This file is not a complete safetensors file. Send or register one that is."
