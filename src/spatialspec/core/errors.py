"""The one error of this package: input that cannot be used. Imports nothing, so that everything can import it."""

from __future__ import annotations


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
    """What a model or a draft computes is no number: it overflows, or a weight is damaged.

    Args:
        what: it computed.
        passes: of the target, made before.
    """

    def __init__(self, what: str, passes: int | None = None) -> None:
        when = "" if passes is None else f", in pass {passes + 1}"
        super().__init__(f"{what} that are not finite{when}", "finite numbers", "fetch the weights again")


def overflow(dtype: object) -> str:
    """What to do about numbers that are not finite, in a type of weights of torch."""
    wider = {
        "torch.float16": "give dtype bf16 or fp32, since fp16 overflows, or ",
        "torch.bfloat16": "give dtype fp32, or ",
    }
    return f"{wider.get(str(dtype), '')}fetch the weights again"


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
