"""Start the service; see api/__main__.py. Every Python 3 can parse this file, so an old one prints a clear message."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "run.py: Python 3.11 or newer is required, but this is %d.%d (%s): create the environment with a newer one, "
        "such as `python3.11 -m venv .venv`, and install requirements.txt there"
        % (*sys.version_info[:2], sys.executable)
    )

import gc

if __name__ == "__main__":
    # Imports free nothing, and collecting garbage takes a tenth of the start. main() enables the collector again.
    gc.disable()

from api.__main__ import run

if __name__ == "__main__":
    run()
