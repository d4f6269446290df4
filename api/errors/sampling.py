"""Errors of sample sets and workflows."""

from typing import Self

from api.errors.base import Conflict, NotFound


class SampleSetNotFound(NotFound):
    """A name that belongs to no sample set, or a version that the set does not have."""

    code = "sample_set_not_found"
    message = "There is no such sample set or version. List the sample sets to find the right one."

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the error for this name."""
        return cls(f'No sample set is called "{name[:100]}". List the sample sets to find the right one.')


class HiddenSampleSet(SampleSetNotFound):
    """A sample set that the caller may not see.

    The answer is that of one that does not exist; only the audit records more.
    """

    is_refusal = True


class WorkflowNotFound(NotFound):
    """An id that belongs to no workflow."""

    code = "workflow_not_found"
    message = "There is no workflow with this id. List the workflows to find the right one."


class HiddenWorkflow(WorkflowNotFound):
    """A workflow that the caller may not see.

    The answer is that of one that does not exist; only the audit records more.
    """

    is_refusal = True


class SampleSetAmbiguous(Conflict):
    """A name that several users gave to private sample sets, for a caller who sees all of them."""

    code = "sample_set_ambiguous"
    message = "Several users have a private sample set of this name. Share one of them, or name its owner (`?owner=`)."


class SampleSetExists(Conflict):
    """A sample set with a name that its owner uses already, or another one that is shared."""

    code = "sample_set_exists"
    message = "A sample set of this name exists already. Choose another name, or change that set."


class WorkflowExists(Conflict):
    """A workflow with a name that its owner uses already."""

    code = "workflow_exists"
    message = "You have a workflow of this name already. Choose another name, or delete that workflow."


class TooManySampleSets(Conflict):
    """A new sample set of a user who has the permitted number, or a new version of one that has it."""

    code = "too_many_sample_sets"
    message = "The permitted number of sample sets, or of their versions, exists already. Delete some of them first."


class TooManyWorkflows(Conflict):
    """A new workflow of a user who has the permitted number."""

    code = "too_many_workflows"
    message = "You have the permitted number of workflows already. Delete some of them first."
