"""Pauses Python's garbage collector, which would visit all objects while none can be freed."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the garbage collector within the block, in all threads.

    For code that creates very many objects that are freed at its end. Reference counting still frees objects
    immediately.
    """
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # If another thread has disabled it, that thread enables it again.
        if is_on:
            gc.enable()
