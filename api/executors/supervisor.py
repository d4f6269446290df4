"""The process around one attempt, executed as a plain file: `python -I -S supervisor.py DIRECTORY`.

It outlives the service and loads nothing but the standard library and a few modules of ours that need no more than it.
"""

import os
import sys

#: Behind the directory, once the kernel has been asked for what must be asked for only once.
_AGAIN = "--again"

if __name__ == "__main__":
    # Last, so that no module of the standard library is hidden.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    if _AGAIN not in sys.argv:
        # What that takes stays loaded, 0.7 MB for as long as a training lasts: it executes itself anew without it.
        __import__("api.executors.attempt.subreaper", fromlist=["become_subreaper"]).become_subreaper()
        os.execv(sys.executable, [*sys.orig_argv, _AGAIN])  # noqa: S606 - itself, and no shell is wanted
    sys.exit(__import__("api.executors.attempt.supervision", fromlist=["main"]).main(sys.argv[1]))
