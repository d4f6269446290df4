"""Choose ports of this machine for the masters of trainers."""

import random
import socket
from collections.abc import Collection
from contextlib import closing

#: The range of ports: starts at the trainer's default, below the kernel's ephemeral ports.
FIRST_PORT, LAST_PORT = 29_500, 30_999


def pick_port(held: Collection[int]) -> int:
    """Return a free port that is not in `held`; the first of the range if there is none."""
    candidates = [port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in held]
    # In random order: a port that was just closed may still be in use for a moment.
    random.shuffle(candidates)
    return next((port for port in candidates if _is_free(port)), FIRST_PORT)


def _is_free(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
