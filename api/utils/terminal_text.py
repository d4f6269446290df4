"""What a program wrote for a terminal, as text that is safe to show anywhere."""

import re

#: Characters of a line that are shown.
MESSAGE_LIMIT = 16_384

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
    """A line without its newline, as a terminal would show it in the end, and whether it was cut.

    That is what follows upon the last carriage return; terminal escapes are gone, other control characters visible.
    """
    text = raw.decode(errors="replace")
    # Most lines: nothing in them steers a terminal.
    if not text.isprintable():
        text = _ESCAPES.sub("", text).rstrip("\r")
        text = text[text.rfind("\r") + 1 :]
    is_cut = len(text) > MESSAGE_LIMIT
    if is_cut:
        text = text[:MESSAGE_LIMIT]
    return (text if text.isprintable() else text.translate(_VISIBLE)), is_cut
