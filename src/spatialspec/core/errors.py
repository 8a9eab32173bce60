"""The one error of this package: input that cannot be used. Imports nothing, so that everything can import it."""

from __future__ import annotations

OVERFLOW = "give --dtype bf16 or fp32, since fp16 overflows, or fetch the weights again"


class BadInput(ValueError):
    """Input that cannot be used, from Python, from the command line or from a file; its text is one sentence.

    Args:
        got: what came, in a few words.
        expected: what would have done.
        advice: what to do now; "" where `expected` says it already.
        where: the file, line, step or option that it came from; "" for an argument.

    Attributes:
        got: as above, and so are the next three.
        expected: see above.
        advice: see above.
        where: see above.
    """

    def __init__(self, got: str, expected: str, advice: str = "", where: object = "") -> None:
        super().__init__(got, expected, advice, str(where))
        self.got, self.expected, self.advice, self.where = got, expected, advice, str(where)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f": {self.advice}" if self.advice else ""
        return printable(f"{place}got {self.got}, expected {self.expected}{advice}")


class NotFinite(BadInput):
    """Probabilities of a cell, the model's or a draft's, that are no numbers: it overflows, or a weight is damaged.

    Args:
        cell: raster index.
        passes: of the target, made before.
    """

    def __init__(self, cell: int, passes: int) -> None:
        super().__init__(f"scores of cell {cell} that are not finite, in pass {passes + 1}", "finite numbers", OVERFLOW)


def printable(text: object) -> str:
    r"""Text that is safe on a terminal: control characters and broken Unicode are shown as escapes, `\x1b`.

    Line ends and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in str(text))


def shown(value: object, length: int = 60) -> str:
    """A value for `got`, as Python writes it, cut to `length` characters; values of any size are safe to show."""
    try:
        text = repr(value[: length + 1]) if isinstance(value, str | bytes) else repr(value)
    except Exception:  # a foreign object, or a whole number of more digits than Python prints
        text = f"a {type(value).__name__}"
    text = printable(text)
    return text if len(text) <= length else f"{text[:length]}..."
