"""Convert the output of a program for a terminal to text that is safe to show anywhere."""

import re

#: Maximum number of shown characters of a line.
MESSAGE_LIMIT = 16_384

#: Bytes of a line that are processed; with more, each line would block all other threads for tens of milliseconds.
LOOKED_BYTES = 64 * 1024

# ECMA-48: CSI and OSC sequences, the other strings (DCS, SOS, PM, APC), and the two-character escapes; also as C1
# controls. An unterminated string is not a sequence: showing the rest of a line is better than hiding it. A string does
# not continue over another control that could start one, so no character is matched twice and the time is linear.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x80-\x9f]*+(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x80-\x9f]*+(?:\x1b\\|\x9c)"
    r"|\x1b[ -/]*+[0-OQ-WYZ\\`-~]"
)

# C0 controls have symbols of their own; C1 controls have none.
_VISIBLE = {
    **{code: 0x2400 + code for code in range(0x20) if code != 0x09},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


def clean(raw: bytes) -> tuple[str, bool]:
    """Return a line as a terminal would finally show it, without its newline, and whether it was cut.

    Only the text after the last carriage return is returned. Escapes are removed, other control characters made
    visible.
    """
    text, is_cut = _last_state(raw)
    if len(text) > MESSAGE_LIMIT:
        text, is_cut = text[:MESSAGE_LIMIT], True
    return (text if text.isprintable() else text.translate(_VISIBLE)), is_cut


def _last_state(raw: bytes) -> tuple[str, bool]:
    """Return the text after the last carriage return, and whether part of it was not processed."""
    if len(raw) > LOOKED_BYTES:
        end = raw[-LOOKED_BYTES:]
        # The text before the first carriage return started before this part.
        start = end.find(b"\r") + 1
        states = _without_escapes(end[start:]) if start else ""
        if states:
            return states[states.rfind("\r") + 1 :], False
        begin = raw.rfind(b"\r", 0, len(raw) - LOOKED_BYTES) + 1
        return _without_escapes(raw[begin : begin + LOOKED_BYTES]), True
    text = _without_escapes(raw)
    return text[text.rfind("\r") + 1 :], False


def _without_escapes(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    # Most lines contain no control characters.
    return text if text.isprintable() else _ESCAPES.sub("", text).rstrip("\r")


def show(text: str, most: int = MESSAGE_LIMIT) -> str:
    """Return the text of a program so that it can be shown, logged and stored anywhere.

    It has at most `most` characters, without escapes, and with control characters and halves of surrogate pairs made
    visible.
    """
    cut = text[:most]
    if cut.isprintable():
        return cut
    return _ESCAPES.sub("", cut).translate(_VISIBLE).encode(errors="replace").decode()
