"""The process around one attempt, executed as a plain file: `python -I -S supervisor.py DIRECTORY`.

It outlives the service and must load without any package of ours, so the modules in `attempt` are found from here.
"""

import os
import sys

if __name__ == "__main__":
    # Last, so that no module of the standard library is hidden.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(__import__("attempt.supervision", fromlist=["main"]).main(sys.argv[1]))
