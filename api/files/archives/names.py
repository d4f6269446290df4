"""Check the names of an archive's entries: valid on every file system, and unique on each."""

import unicodedata

from api.files.archives.limits import BadArchive

#: Most bytes of one part of a name, and most characters of a name, on common file systems.
MOST_PART_BYTES = 255
MOST_CHARACTERS = 1024

#: Device names on Windows; datasets may be copied there.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))})

#: Suffixes of data formats that are zips: NumPy arrays, PyTorch weights, documents, drawings.
_PACKED_DATA = (".npz", ".pt", ".pth", ".ckpt", ".bin", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".kra", ".ora")

#: Files that operating systems create beside user files.
_LITTER = frozenset({".ds_store", "thumbs.db", "desktop.ini", "__macosx"})


class EntryNames:
    """The names of one archive, in their order."""

    def __init__(self, depth: int) -> None:
        """`depth` is the maximum number of directories above a file."""
        self._depth = depth
        self._spelled: dict[str, str] = {}  #: by name without case and Unicode form
        self._files: set[str] = set()
        self._directories: set[str] = set()

    def add(self, name: str, is_directory: bool) -> str:
        """Check and add a name, and return it without trailing slash. Raises BadArchive."""
        path = check_name(name.rstrip("/") if is_directory else name, self._depth)
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            self._spell("/".join(parts[:count]), name)
        above = {"/".join(parts[:count]) for count in range(1, len(parts))}
        if is_directory:
            above.add(path)
        elif path in self._files or path in self._directories:
            raise BadArchive("is in the archive twice", shown(name))
        else:
            self._files.add(path)
        if not above.isdisjoint(self._files):
            raise BadArchive("is both a file and a directory", shown(name))
        self._directories |= above
        return path

    def _spell(self, path: str, name: str) -> None:
        folded = fold(path)
        if self._spelled.setdefault(folded, path) != path:
            other = shown(self._spelled[folded])
            raise BadArchive(f'differs from "{other}" only in case or Unicode form', shown(name))


def check_name(name: str, depth: int) -> str:
    """Return the name of a file if it is valid on every file system. Raises BadArchive."""
    problem = _problem_of(name, depth)
    if problem is not None:
        raise BadArchive(problem, shown(name))
    return name


def _problem_of(name: str, depth: int) -> str | None:
    if not name or len(name) > MOST_CHARACTERS:
        return f"has a name that is empty or longer than {MOST_CHARACTERS:,} characters"
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        return "has an absolute path, a drive or a backslash in its name"
    parts = name.split("/")
    if len(parts) - 1 > depth:
        return f"is below more than {depth} directories"
    for part in parts:
        if part in ("", ".", ".."):
            return "has an empty part, . or .. in its path"
        if not part.isprintable():
            return "has a control character or an invalid Unicode character in its name"
        if len(part.encode("utf-8", "surrogateescape")) > MOST_PART_BYTES:
            return f"has a part in its name that is longer than {MOST_PART_BYTES} bytes"
        if part[-1] in ". " or part[0] == " " or part.partition(".")[0].lower() in _DEVICES:
            return "has a name that ends in a dot or space, or is a device name on Windows"
    return None


def is_litter(path: str) -> bool:
    """Return whether the file is hidden, or was created by an operating system beside user files."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in path.split("/"))


def is_packed_data(path: str) -> bool:
    """Return whether the file is in a data format that is a zip: neither part of a dataset nor an archive of one."""
    return path.lower().endswith(_PACKED_DATA)


def fold(path: str) -> str:
    """Return the same text for all names that are the same file on some file system."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def shown(name: str) -> str:
    """Return a name for display: short, and without control characters."""
    clean = "".join(c if c.isprintable() else "�" for c in name[:200])
    return clean if len(name) <= 200 else f"{clean}…"
