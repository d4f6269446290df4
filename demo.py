"""A guided walk over HTTP: `python demo.py`, or with `--url http://host:8080` at a server that runs already."""

import signal
import sys

from demo.walk import main

if __name__ == "__main__":
    # Told to end, it still stops and releases what it began, and ends the server that it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _: sys.exit(128 + signum))
    sys.exit(main(sys.argv[1:]))
