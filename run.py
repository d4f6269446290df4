"""Starts the service; see api/main.py. This file is read by any Python 3, so that an old one is told what is needed."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "run.py: Python 3.11 or newer is needed, and this is %d.%d (%s): make the environment with a newer one, "
        "such as `python3.11 -m venv .venv`, and install requirements.txt there"
        % (*sys.version_info[:2], sys.executable)
    )

import gc

if __name__ == "__main__":
    # Nothing that is loaded goes again: to look through it takes a tenth of the start. main() ends this.
    gc.disable()

from api.main import create_shell, main, run

__all__ = ["create_shell", "main", "run"]

if __name__ == "__main__":
    run()
