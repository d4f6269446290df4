"""Generate the synchronous client of dpipe from the asynchronous one: `python tools/dpipe_client.py [--check]`."""

import re
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[1] / "dpipe" / "src" / "dpipe"

_HEAD = '"""The synchronous client. Generated from aio.py by tools/dpipe_client.py; do not edit."""'

#: What differs, in this order.
_CHANGES = (
    (r'\A"""[^"]*"""', _HEAD),
    (r"import asyncio\n", "import time\n"),
    (r"from time import monotonic\n", "from time import monotonic\n"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"\b(__a)(enter|exit|iter)__", r"__\2__"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
)


def synchronous(text: str) -> str:
    """Return the synchronous form of the client."""
    for pattern, replacement in _CHANGES:
        text = re.sub(pattern, replacement, text)
    ruff = Path(sys.executable).with_name("ruff")
    for arguments in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        done = subprocess.run(
            [ruff, *arguments, "--stdin-filename", str(HOME / "client.py"), "-"],
            input=text, capture_output=True, text=True, check=True,
        )
        text = done.stdout
    return text


if __name__ == "__main__":
    (HOME / "client.py").write_text(synchronous((HOME / "aio.py").read_text()))
