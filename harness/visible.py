"""What would a character do to whoever shows it? Those that would do something are replaced by ones that are seen."""

from __future__ import annotations

LINE_BREAKS = "\n\t"

# ESC as ␛; DEL as ␡. A terminal takes C1 (U+0080 to U+009F) for ESC and a letter; a bidirectional control (UAX 9) shows
# a text in another order than it has; half of a surrogate pair cannot be written at all.
_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in LINE_BREAKS} | {0x7F: 0x2421}
_HIDDEN = [*range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_HIDDEN += range(0xD800, 0xE000)
_TABLE: dict[int, int | str] = _PICTURES | {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _HIDDEN
}


def visible(text: str) -> str:
    r"""The text with every character that would steer a terminal made visible; line breaks and tabs stay.

    Example:
        >>> print(visible("\x1b[31mred\x07, \u202edlog"))
        ␛[31mred␇, \u202edlog
    """
    return text if text.isprintable() and text.isascii() else text.translate(_TABLE)


def as_cell(text: str) -> str:
    """A text as a cell of a table that spreadsheets open: visible, and never taken for a formula.

    What begins like one (OWASP, CSV Injection) and is no number gets a ``'`` before it, which a spreadsheet does not
    show.

    Example:
        >>> as_cell("=1+1"), as_cell("-0.25"), as_cell("@x")
        ("'=1+1", '-0.25', "'@x")
    """
    shown = visible(text)
    return f"'{shown}" if shown[:1] in set("=+-@\t") and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
