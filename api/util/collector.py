"""Python's collector of garbage that refers to itself, kept from walking over everything where none is made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the collector off for a moment, in all threads: for what makes very many things that are gone at its end.
    Each is freed as soon as nobody has it, as ever.
    """
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Where another thread keeps it off, too, whoever switched it off switches it on.
        if is_on:
            gc.enable()
