"""Whether NVIDIA's management library is there, by the loader's own word: its binding is not needed to ask."""

import ctypes

LIBRARY = "libnvidia-ml.so.1"


def library_problem() -> str | None:
    """Why the library cannot be loaded; None when it can. The binding calls every such failure "not found"."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    return None


def library_is_absent() -> bool:
    """Whether this machine has no NVML at all, as opposed to one that is broken."""
    problem = library_problem()
    # The loader names the file it misses: another name means that the library is there and a dependency is not.
    return problem is not None and problem.startswith(f"{LIBRARY}:") and "No such file" in problem
