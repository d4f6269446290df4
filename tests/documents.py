"""The documents for readers, and the shell commands in them.

A block of shell commands whose first line is `# Needs …` cannot run where tests run. All others do, as written.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Documents by their path; a changelog names the files and commands of its time.
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in (".", "docs", "docs/get-started", "docs/guides", "docs/reference", "docs/concepts", "docs/decisions",
                   "deploy", "deploy/slurm")
    for path in sorted((ROOT / folder).glob("*.md"))
    if path.name != "CHANGELOG.md"
}  # fmt: skip

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"# Needs [^\n]+\.\n")


def blocks(text: str) -> list[str]:
    """Return the blocks of shell commands."""
    return _BLOCK.findall(text)


def is_marked(block: str) -> bool:
    """Whether a block names what it needs that tests do not have."""
    return _NEEDS.match(block) is not None


def runnable(text: str) -> list[str]:
    """Return the blocks that run as written beside a server."""
    return [block for block in blocks(text) if not is_marked(block)]


def marked(text: str) -> list[str]:
    """Return the blocks that need more than a server."""
    return [block for block in blocks(text) if is_marked(block)]


def prose(text: str) -> str:
    """Return a document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
