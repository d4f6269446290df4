"""JSON pointers to what a check found, and names as a message may show them."""

_LONGEST_SHOWN = 80


def shown(text: object) -> str:
    """A name as a message may show it: bounded, on one line, without control characters or halves of characters."""
    whole = str(text)
    cut = whole[:_LONGEST_SHOWN] + ("…" if len(whole) > _LONGEST_SHOWN else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)


def pointer(*path: str | int) -> str:
    """A JSON pointer (RFC 6901) made of these keys and indices."""
    return "".join("/" + shown(part).replace("~", "~0").replace("/", "~1") for part in path)
