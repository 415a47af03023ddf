"""What the pusher sees: plain lines, at most so many, no byte that could steer a terminal."""

from __future__ import annotations

import sys

MOST = 200
INVISIBLE = frozenset((*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF))
"""Code points that have no width or turn the direction of text."""


def safe(text: str, *, keep_colour: bool = False) -> str:
    """Text in which every control, invisible or direction-changing character is shown instead of obeyed."""
    if keep_colour:
        pieces = text.split("\x1b[")
        kept = [safe(pieces[0])]
        for piece in pieces[1:]:
            code, mark, rest = piece.partition("m")
            plain = mark and code.replace(";", "").isdigit() and len(code) <= 8
            kept.append(f"\x1b[{code}m{safe(rest)}" if plain else "^[[" + safe(piece))
        return "".join(kept)
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    number = ord(char)
    if number < 32 or number == 127:
        return "^" + chr(number ^ 64)
    if 128 <= number < 160 or number in INVISIBLE or 0xD800 <= number < 0xE000:
        return f"\\x{number:02x}"
    return char


def say(lines: list[str], *, keep_colour: bool = False) -> bool:
    """Prints lines to the pusher; somebody who hung up is no failure."""
    try:
        for line in lines[:MOST]:
            text = safe(str(line), keep_colour=keep_colour)
            sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
        if len(lines) > MOST:
            sys.stdout.buffer.write(f"  and {len(lines) - MOST} more lines\n".encode())
        sys.stdout.buffer.flush()
        return True
    except OSError:
        return False


def title(text: str) -> str:
    """A line that begins with our name, so that nobody's text passes for it."""
    return f"plumbline  {text}"
