"""Waiting that hears when it shall end."""

from collections.abc import Callable

from api.trainers.downloads.refusal import StopAsked


def wait(seconds: float, is_stopping: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Waits, and looks meanwhile whether it shall stop. Raises StopAsked."""
    left = seconds
    while True:
        if is_stopping():
            raise StopAsked
        if left <= 0:
            return
        sleep(min(left, 0.5))
        left -= 0.5
