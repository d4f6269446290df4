"""Checks for NVIDIA's management library by the dynamic loader, without its Python binding."""

import ctypes

LIBRARY = "libnvidia-ml.so.1"


def library_problem() -> str | None:
    """Return why the library cannot be loaded, or None. The binding calls every such failure "not found"."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    return None


def library_is_absent() -> bool:
    """Return whether this machine has no NVML at all, as opposed to a broken one."""
    problem = library_problem()
    # The loader names the missing file: another name means that a dependency of the library is missing.
    return problem is not None and problem.startswith(f"{LIBRARY}:") and "No such file" in problem
