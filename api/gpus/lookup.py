"""Finds a GPU by what requests call it. Pure functions."""

from api.errors import GPUNotFound
from api.gpus.judgement import JudgedGPU
from api.gpus.state import GPUState


def find_gpu(state: GPUState, reference: str) -> JudgedGPU:
    """The GPU with this UUID or index; of a fleet `node:index`, or an index that only one has. Raises GPUNotFound."""
    found = [gpu for gpu in state.gpus if reference in names_of(gpu, state.is_fleet)]
    if len(found) == 1:
        return found[0]
    if found:
        places = [f"{gpu.node}:{gpu.reading.index}" for gpu in found]
        raise GPUNotFound(
            f"{len(found)} nodes have a GPU {reference[:80]}: name it by its UUID or as {places[0]}.",
            data={"gpu_ids": places},
        )
    known = [name_of(gpu, state.is_fleet) for gpu in state.gpus]
    raise GPUNotFound(f'No GPU has the index or UUID "{reference[:80]}".', data={"gpu_ids": known})


def name_of(gpu: JudgedGPU, is_fleet: bool) -> str | int | None:
    """What a GPU is called in answers to people: its index, of a fleet with its node."""
    return f"{gpu.node}:{gpu.reading.index}" if is_fleet else gpu.reading.index


def names_of(gpu: JudgedGPU, is_fleet: bool) -> tuple[str, ...]:
    """What a GPU is called in requests."""
    index, uuid = gpu.reading.index, gpu.reading.uuid
    by_index = () if index is None else (str(index), f"{gpu.node}:{index}") if is_fleet else (str(index),)
    return by_index if uuid is None or gpu.is_twin else (*by_index, uuid)
