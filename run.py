"""Start the service; see api/__main__.py. Any Python 3 can read this file, so an old one gets a clear message."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "run.py: Python 3.11 or newer is needed, and this is %d.%d (%s): make the environment with a newer one, "
        "such as `python3.11 -m venv .venv`, and install requirements.txt there"
        % (*sys.version_info[:2], sys.executable)
    )

import gc

if __name__ == "__main__":
    # Nothing that is loaded is freed again, and looking through it takes a tenth of the start. main() ends this.
    gc.disable()

from api.__main__ import run

if __name__ == "__main__":
    run()
