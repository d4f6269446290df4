"""Build the check of the trainer's installation."""

from collections.abc import Callable, Iterable

from api.config import Config, child_environment
from api.domain.machines.reading import DriverVersions, GPUIdentity, SourceName
from api.executors.trainer_user import TrainerUser
from api.gpus.sources.source import GPUFault, GPUSource, SourceFault
from api.gpus.state import GPUState
from api.trainers.diffusion_pipe.installation.check import InstallationCheck, TrainerLocation
from api.trainers.diffusion_pipe.installation.problems import GPUNeeds
from api.util.clock import Clock


def build_installation_check(
    config: Config, clock: Clock, gpus: Callable[[], GPUNeeds], user: TrainerUser | None
) -> InstallationCheck:
    """Return the check, without starting it. `gpus` returns what the GPUs need."""
    environment = child_environment()
    if user is not None:
        environment |= user.environment(config.storage_root.absolute() / "caches")
    return InstallationCheck(
        TrainerLocation(config.diffusion_pipe_root, config.diffusion_pipe_python),
        clock,
        environment,
        gpus=gpus,
        as_user=None if user is None else user.command,
        is_automatic=config.trainer_check,
    )


def needs_of(state: GPUState) -> GPUNeeds:
    """Return the requirements of the GPUs of all machines."""
    return _needs(state.snapshot.source, [gpu.reading.identity for gpu in state.gpus], state.snapshot.versions)


def read_needs(source: GPUSource) -> GPUNeeds:
    """Return the requirements of this machine's GPUs; none if they cannot be read."""
    try:
        return _needs(
            source.name,
            [source.identify(slot) for slot in range(source.refresh(may_reinitialise=True))],
            source.versions,
        )
    except (SourceFault, GPUFault):
        return GPUNeeds()
    finally:
        source.close()


def _needs(source: SourceName, gpus: Iterable[GPUIdentity | None], versions: DriverVersions) -> GPUNeeds:
    if source is not SourceName.NVML:
        return GPUNeeds(are_simulated=True)
    found = (one.compute_capability for one in gpus if one is not None)
    return GPUNeeds(tuple(dict.fromkeys(filter(None, found))), versions.cuda)
