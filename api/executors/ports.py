"""Ports of this machine for the masters of trainers."""

import random
import socket
from collections.abc import Collection
from contextlib import closing

#: The ports to choose from: from the trainer's own default on, below the kernel's ephemeral ports.
FIRST_PORT, LAST_PORT = 29_500, 30_999


def pick_port(held: Collection[int]) -> int:
    """A port on which nobody listens and that is not in `held`; the first of the range when there is none."""
    candidates = [port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in held]
    # In no order: a port that was just given up may linger.
    random.shuffle(candidates)
    return next((port for port in candidates if _is_free(port)), FIRST_PORT)


def _is_free(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
