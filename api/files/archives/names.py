"""The names of an archive's entries: which are taken, and that no two of them are one file somewhere."""

import unicodedata

from api.files.archives.limits import BadArchive

#: Bytes of one part of a name, and characters of a whole one: what file systems take.
MOST_PART_BYTES = 255
MOST_CHARACTERS = 1024

#: Names that mean a device on Windows, where a dataset may be taken to.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))})

#: Endings of data that are zips inside: arrays of NumPy, weights of PyTorch, documents, drawings.
_PACKED_DATA = (".npz", ".pt", ".pth", ".ckpt", ".bin", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".kra", ".ora")

#: What systems leave beside people's files.
_LITTER = frozenset({".ds_store", "thumbs.db", "desktop.ini", "__macosx"})


class EntryNames:
    """The names of one archive, as they come."""

    def __init__(self, depth: int) -> None:
        """`depth` is the most directories above a file."""
        self._depth = depth
        self._spelled: dict[str, str] = {}  #: by what a file system without case or forms makes of it
        self._files: set[str] = set()
        self._directories: set[str] = set()

    def take(self, name: str, is_directory: bool) -> str:
        """The name, with single slashes and none at its end. Raises BadArchive."""
        path = check_name(name.rstrip("/") if is_directory else name, self._depth)
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            self._spell("/".join(parts[:count]), name)
        above = {"/".join(parts[:count]) for count in range(1, len(parts))}
        if is_directory:
            above.add(path)
        elif path in self._files or path in self._directories:
            raise BadArchive("stands in the archive twice", shown(name))
        else:
            self._files.add(path)
        if not above.isdisjoint(self._files):
            raise BadArchive("is a file and a directory at once", shown(name))
        self._directories |= above
        return path

    def _spell(self, path: str, name: str) -> None:
        folded = fold(path)
        if self._spelled.setdefault(folded, path) != path:
            other = shown(self._spelled[folded])
            raise BadArchive(f'differs from "{other}" only in case or in the form of its letters', shown(name))


def check_name(name: str, depth: int) -> str:
    """The name of a file below a directory, if it is one that every file system takes. Raises BadArchive."""
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
        return f"lies below more than {depth} directories"
    for part in parts:
        if part in ("", ".", ".."):
            return "has an empty part, . or .. in its path"
        if not part.isprintable():
            return "has a control character in its name, or one that is none of Unicode"
        if len(part.encode("utf-8", "surrogateescape")) > MOST_PART_BYTES:
            return f"has a part in its name that is longer than {MOST_PART_BYTES} bytes"
        if part[-1] in ". " or part[0] == " " or part.partition(".")[0].lower() in _DEVICES:
            return "has a name that ends in a dot or space, or is a device's on Windows"
    return None


def is_litter(path: str) -> bool:
    """Whether a system has left this beside people's files, or it is hidden."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in path.split("/"))


def is_packed_data(path: str) -> bool:
    """Whether this is data that lies in a zip by its format: no part of a dataset, and no archive of one either."""
    return path.lower().endswith(_PACKED_DATA)


def fold(path: str) -> str:
    """The same text for all names that are one file on some file system."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def shown(name: str) -> str:
    """A name as it may be shown: short, and without what would steer a terminal or has no place in JSON."""
    clean = "".join(c if c.isprintable() else "�" for c in name[:200])
    return clean if len(name) <= 200 else f"{clean}…"
