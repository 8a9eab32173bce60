"""A bar chart as text, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▏▎▍▌▋▊▉█"  # eighths of a column
FRAME, PLAIN = tuple("│└┴─"), tuple("|++-")  # side, corner, tick, line


def chart(rows: Sequence[tuple[str, float, str]], label: str, unit: str, width: int, encoding: str) -> str:
    """Horizontal bars, starting at 0, with labelled axes.

    Args:
        rows: from top to bottom; name, value at least 0, and a remark after the bar.
        label: meaning of the names.
        unit: of the values.
        width: columns of the terminal.
        encoding: of the terminal; if it has no block characters, the chart is plain ASCII.
    """
    blocks = _has(encoding, BLOCKS + "".join(FRAME))
    side, corner, tick, line = FRAME if blocks else PLAIN
    left = max(len(label), *(len(name) for name, _, _ in rows))
    behind = max(len(f" {value:.3g} {remark}") for _, value, remark in rows)
    room = max(10, min(60, width - left - 2 - behind))
    step = _step(max(value for _, value, _ in rows))
    ticks = max(1, -(-max(value for _, value, _ in rows) // step))
    scale = room / (ticks * step)
    lines = [label.rjust(left)]
    for name, value, remark in rows:
        bar = _bar(value * scale) if blocks else "#" * round(value * scale)
        lines.append(f"{name:>{left}} {side}{bar} {value:.3g} {remark}".rstrip())
    positions = [round(i * step * scale) for i in range(int(ticks) + 1)]
    axis = [corner if i == 0 else tick if i in positions else line for i in range(room + 1)]
    numbers = [" "] * (room + 12)
    for i, position in enumerate(positions):
        text = f"{i * step:g}"
        numbers[position : position + len(text)] = text
    lines.append(" " * (left + 1) + "".join(axis))
    lines.append(" " * (left + 1) + f"{''.join(numbers).rstrip()} {unit}")
    return "\n".join(lines)


def _bar(length: float) -> str:
    eighths = round(8 * length)
    return BLOCKS[-1] * (eighths // 8) + (BLOCKS[eighths % 8 - 1] if eighths % 8 else "")


def _step(largest: float) -> float:
    """A round step of the axis: the largest value is two to five steps."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if largest <= 5 * factor * step:
                return factor * step
        step *= 10


def _has(encoding: str, characters: str) -> bool:
    try:
        characters.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
