"""Find a GPU by the names that requests use. Pure functions."""

from api.errors import GPUNotFound
from api.gpus.health.judgement import JudgedGPU
from api.gpus.state import GPUState


def find_gpu(state: GPUState, reference: str) -> JudgedGPU:
    """Return the GPU with this UUID or index, or in a fleet `node:index`.

    In a fleet an index alone works if only one node has it. Raises GPUNotFound.
    """
    found = [gpu for gpu in state.gpus if reference in names_of(gpu, state.is_fleet)]
    if len(found) == 1:
        return found[0]
    if found:
        references = [f"{gpu.node}:{gpu.reading.index}" for gpu in found]
        raise GPUNotFound(
            f"{len(found)} nodes have a GPU {reference[:80]}: name it by its UUID or as {references[0]}.",
            data={"gpu_ids": references},
        )
    known = [name_of(gpu, state.is_fleet) for gpu in state.gpus]
    raise GPUNotFound(f'No GPU has the index or UUID "{reference[:80]}".', data={"gpu_ids": known})


def name_of(gpu: JudgedGPU, is_fleet: bool) -> str | int | None:
    """Return the name of a GPU for people: its index, in a fleet with its node."""
    return f"{gpu.node}:{gpu.reading.index}" if is_fleet else gpu.reading.index


def names_of(gpu: JudgedGPU, is_fleet: bool) -> tuple[str, ...]:
    """Return all names of a GPU that requests may use."""
    index, uuid = gpu.reading.index, gpu.reading.uuid
    by_index = () if index is None else (str(index), f"{gpu.node}:{index}") if is_fleet else (str(index),)
    return by_index if uuid is None or gpu.is_twin else (*by_index, uuid)
