"""Build the parts that render and show samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.composition.execution import TrainingDependencies
from api.config import Config
from api.domain.access.principal import current_principal
from api.domain.datasets.dataset import PinnedDataset
from api.domain.samples.sample_set import RequestedSamples, SampleOrder
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TrainingRequest
from api.errors import Finding
from api.files.media.decoder import MediaDecoder
from api.jobs.kinds import SAMPLING
from api.samples.automatic import AutomaticSamples
from api.samples.links.training_links import ComfyModels
from api.samples.rendering import SampleRendering, SamplerSettings
from api.samples.service import TrainingSamples
from api.samples.sets.service import SampleSetService, WorkflowService
from api.training.intake import Intake
from api.training.output.exports import Exports
from api.training.output.follow_up_tasks import FollowUpTasks
from api.training.records.automatic_sample_store import SampleOrderStore
from api.training.records.sample_store import TrainingSampleStore
from api.training.records.task_store import TaskStore


def sampler_settings(config: Config) -> SamplerSettings:
    """Return how samples are rendered."""
    urls = tuple(config.comfyui_url.split(",")) if config.comfyui_url else ()
    loras = tuple(path.absolute() for path in config.comfyui_loras)
    return SamplerSettings(urls, loras, config.sample_command, config.comfyui_extensions, config.sample_seconds)


def build_samples(needs: TrainingDependencies) -> TrainingSamples:
    """Build the service that shows samples."""
    database, decoder = needs.database, needs.decoder or MediaDecoder(1)
    samplings, trainings = TaskStore(database, TaskType.SAMPLE), TaskStore(database, TaskType.TRAINING)
    return TrainingSamples(samplings, trainings, TrainingSampleStore(database), decoder, needs.storage, needs.clock)


def build_rendering(needs: TrainingDependencies, intake: Intake, exports: Exports) -> SampleRendering:
    """Build the service that has samples rendered."""
    database, storage = needs.database, needs.storage
    made, trainings = TaskStore(database, TaskType.SAMPLE), TaskStore(database, TaskType.TRAINING)
    tasks = FollowUpTasks(TaskType.SAMPLE, SAMPLING, made, intake, needs.clock, storage)
    settings = sampler_settings(needs.config)
    return SampleRendering(tasks, trainings, TrainingSampleStore(database), settings, exports, storage)


@dataclass(frozen=True, slots=True)
class SampleServices:
    """The services of samples that routes call. Those of registered models are with the catalog."""

    trainings: TrainingSamples
    rendering: SampleRendering
    links: ComfyModels
    sets: SampleSetService
    workflows: WorkflowService


@dataclass(frozen=True, slots=True)
class CheckedSamples:
    """Checks the automatic samples of requests, for the principal of the present request."""

    sets: SampleSetService
    rendering: SampleRendering

    def order(self, requested: RequestedSamples) -> SampleOrder:
        return self.sets.order(requested, current_principal.get())

    def find_problem(
        self, request: TrainingRequest, order: SampleOrder, datasets: Sequence[PinnedDataset]
    ) -> Finding | None:
        return self.rendering.find_problem(request, order, datasets)


def build_automatic_samples(
    needs: TrainingDependencies, orders: SampleOrderStore, rendering: SampleRendering, is_here: Callable[[], bool]
) -> AutomaticSamples:
    """Build the automatic samples. `is_here` returns whether this server observes the trainings."""
    settings = sampler_settings(needs.config)
    return AutomaticSamples(
        orders,
        rendering,
        TaskStore(needs.database, TaskType.TRAINING),
        TaskStore(needs.database, TaskType.SAMPLE),
        needs.clock,
        is_here,
        lambda: bool(settings.command) or any(map(_is_answering, settings.urls)),
    )


def _is_answering(url: str) -> bool:
    # Imported only when there is a ComfyUI: httpx takes 6 MB and 30 ms of each start.
    from api.jobs.sampling.comfyui import is_answering  # noqa: PLC0415

    return is_answering(url)
