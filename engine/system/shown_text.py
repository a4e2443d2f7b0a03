"""Text from files and names, made safe to show: on a terminal, in a page, in a picture."""

import unicodedata

# Controls (escape sequences begin with one), formats (which turn the direction of what follows, or
# are not seen), surrogates (bytes of names that are not UTF-8), and separators of lines.
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
JOINERS = "\u200c\u200d"  # which scripts and emoji need, and which hide nothing
SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def shown(text: str) -> str:
    r"""Return the text on one line, what a terminal would obey or could not print written out.

    A byte of a name that is not UTF-8 becomes ``\xff``, an escape ``\x1b``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in HIDDEN:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps the byte
        code -= 0xDC00
    if code < 256:
        return SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
