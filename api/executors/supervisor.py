"""The process around one attempt, executed as a plain file: `python -I -S supervisor.py DIRECTORY`.

It outlives the service and loads nothing but the standard library and a few modules of ours that need no more than it.
"""

import os
import sys

#: The argument after the directory: the inotify handle, once the program has set itself up and executed itself anew.
_AGAIN = "--again="

if __name__ == "__main__":
    # Last, so that no module of the standard library is hidden.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    if len(sys.argv) < 3 or not sys.argv[2].startswith(_AGAIN):
        # What that takes stays loaded, 0.7 MB for as long as a training lasts: it executes itself anew without it. So
        # does what compiling takes, 1 MB after an update, and that is also done before.
        __import__("api.executors.attempt.supervision")
        kernel = __import__("api.executors.attempt.subreaper", fromlist=["become_subreaper", "watch"])
        kernel.become_subreaper()
        again = f"{_AGAIN}{kernel.watch(sys.argv[1])}"
        os.execv(sys.executable, [*sys.orig_argv, again])  # noqa: S606 - itself, and no shell is wanted
    given = int(sys.argv[2].removeprefix(_AGAIN))
    sys.exit(__import__("api.executors.attempt.supervision", fromlist=["main"]).main(sys.argv[1], given))
