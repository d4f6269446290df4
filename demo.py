"""A guided tour over HTTP: `python demo.py`, or `--url http://host:8080` for a server that is already running."""

import signal
import sys

from demo.guide import main

if __name__ == "__main__":
    # On these signals, too, the tour stops its training, releases its GPU and ends its server.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, _: sys.exit(128 + signum))
    sys.exit(main(sys.argv[1:]))
