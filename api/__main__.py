"""`python -m api` starts the service, like run.py and the command diffusion-pipe-api."""

import os
import signal
import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run `api.main.main` with the arguments of this process and exit with its code."""
    # Ctrl-C while modules load: nothing has started, and KeyboardInterrupt would print a traceback from an import.
    _handle_stop(lambda *_: os._exit(0))
    # After the handler is set, because this import takes a while.
    from api.main import main  # noqa: PLC0415

    # Until the server handles signals itself, a stop is a normal exit.
    _handle_stop(lambda *_: sys.exit(0))
    sys.exit(main(sys.argv[1:]))


def _handle_stop(handler: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


if __name__ == "__main__":
    run()
