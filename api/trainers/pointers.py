"""JSON pointers for findings, and safe display of names in messages."""

_LONGEST_SHOWN = 80


def shown(text: object) -> str:
    """Return a name that is safe in a message: bounded, on one line, without control characters or lone surrogates."""
    full = str(text)
    cut = full[:_LONGEST_SHOWN] + ("…" if len(full) > _LONGEST_SHOWN else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)


def pointer(*path: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of these keys and indices."""
    return "".join("/" + shown(part).replace("~", "~0").replace("/", "~1") for part in path)
