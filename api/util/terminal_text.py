"""What a program wrote for a terminal, as text that is safe to show anywhere."""

import re

#: Characters of a line that are shown.
MESSAGE_LIMIT = 16_384

#: Bytes of a line that are looked at: with more, each line would block all other threads for tens of milliseconds.
LOOKED_BYTES = 64 * 1024

# ECMA-48: CSI and OSC sequences, the other strings (DCS, SOS, PM, APC), and the two-character escapes; also as C1
# controls. A string that does not end is no sequence: hiding the rest of a line would be worse than showing it. Nor
# does a string go on over another control that could begin one: so no character is looked at for two strings, and
# the time is linear.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x80-\x9f]*+(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x80-\x9f]*+(?:\x1b\\|\x9c)"
    r"|\x1b[ -/]*+[0-OQ-WYZ\\`-~]"
)

# C0 controls have pictures of their own; C1 controls have none.
_VISIBLE = {
    **{code: 0x2400 + code for code in range(0x20) if code != 0x09},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


def clean(raw: bytes) -> tuple[str, bool]:
    """A line as a terminal would finally show it, without its newline, and whether it was cut.

    Only what follows the last carriage return is left; escapes are removed, other control characters made visible.
    """
    text, is_cut = _last_state(raw)
    if len(text) > MESSAGE_LIMIT:
        text, is_cut = text[:MESSAGE_LIMIT], True
    return (text if text.isprintable() else text.translate(_VISIBLE)), is_cut


def _last_state(raw: bytes) -> tuple[str, bool]:
    """The text after the last carriage return, and whether part of it was not looked at."""
    if len(raw) > LOOKED_BYTES:
        end = raw[-LOOKED_BYTES:]
        # What stands before the first return of the end has begun earlier.
        begun = end.find(b"\r") + 1
        states = _without_escapes(end[begun:]) if begun else ""
        if states:
            return states[states.rfind("\r") + 1 :], False
        begin = raw.rfind(b"\r", 0, len(raw) - LOOKED_BYTES) + 1
        return _without_escapes(raw[begin : begin + LOOKED_BYTES]), True
    text = _without_escapes(raw)
    return text[text.rfind("\r") + 1 :], False


def _without_escapes(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    # Most lines: nothing in them steers a terminal.
    return text if text.isprintable() else _ESCAPES.sub("", text).rstrip("\r")


def show(text: str, most: int = MESSAGE_LIMIT) -> str:
    """A text of a program that speaks for others, so that it can be shown, logged and kept anywhere: no longer than
    `most`, with escapes left out, and control characters and halves of surrogate pairs made visible.
    """
    cut = text[:most]
    if cut.isprintable():
        return cut
    return _ESCAPES.sub("", cut).translate(_VISIBLE).encode(errors="replace").decode()
