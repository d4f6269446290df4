"""The process that runs one attempt, executed as a plain file: `python -I -S supervisor.py DIRECTORY`.

It outlives the service. It imports only the standard library and a few modules of this project that need nothing else.
"""

import os
import sys

#: Prefix of the argument after the directory: the inotify handle, present after the program has re-executed itself.
_REEXECUTED = "--again="

if __name__ == "__main__":
    # Last, so that no module of the standard library is shadowed.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    if len(sys.argv) < 3 or not sys.argv[2].startswith(_REEXECUTED):
        # ctypes would stay loaded (0.7 MB during the whole training), so the program re-executes itself without it.
        # Importing the modules before that also frees what compiling them takes (1 MB after an update).
        __import__("api.executors.attempt.supervision")
        kernel = __import__("api.executors.attempt.subreaper", fromlist=["become_subreaper", "watch"])
        kernel.become_subreaper()
        again = f"{_REEXECUTED}{kernel.watch(sys.argv[1])}"
        os.execv(sys.executable, [*sys.orig_argv, again])  # noqa: S606 - executes itself, without a shell
    given = int(sys.argv[2].removeprefix(_REEXECUTED))
    sys.exit(__import__("api.executors.attempt.supervision", fromlist=["main"]).main(sys.argv[1], given))
