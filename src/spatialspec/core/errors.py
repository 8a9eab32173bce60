"""The one error of this package: unusable input. Imports nothing, so that every module can import it."""

from __future__ import annotations


class BadInput(ValueError):
    """Unusable input, from Python, the command line or a file; its text is one sentence.

    Args:
        got: the input, in a few words.
        expected: the input that is allowed.
        advice: how to fix it; "" where `expected` suffices.
        where: the file, line, step or option that it came from; "" for an argument.

    Attributes:
        got: see Args, as for the next three.
        expected: see Args.
        advice: see Args.
        where: see Args.
    """

    def __init__(self, got: str, expected: str, advice: str = "", where: object = "") -> None:
        super().__init__(got, expected, advice, str(where))
        self.got, self.expected, self.advice, self.where = got, expected, advice, str(where)

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        advice = f": {self.advice}" if self.advice else ""
        return printable(f"{where}got {self.got}, expected {self.expected}{advice}")


class NotFinite(BadInput):
    """A model or draft computed NaN or infinity: it overflowed, or a weight is damaged.

    Args:
        what: the values that are not finite.
        passes: number of target passes before it.
    """

    def __init__(self, what: str, passes: int | None = None) -> None:
        when = "" if passes is None else f", in pass {passes + 1}"
        super().__init__(f"{what} that are not finite{when}", "finite numbers", "fetch the weights again")


def overflow(dtype: object) -> str:
    """Advice for numbers that are not finite, by dtype of the weights."""
    wider = {
        "torch.float16": "give dtype bf16 or fp32, since fp16 overflows, or ",
        "torch.bfloat16": "give dtype fp32, or ",
    }
    return f"{wider.get(str(dtype), '')}fetch the weights again"


def printable(text: object) -> str:
    r"""Text that is safe on a terminal: control characters and broken Unicode become escapes such as `\x1b`.

    Line ends and tabs are not changed.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in str(text))


def shown(value: object, length: int = 60) -> str:
    """A value for `got`: its `repr`, cut to `length` characters; safe for values of any size."""
    try:
        text = repr(value[: length + 1]) if isinstance(value, str | bytes) else repr(value)
    except Exception:  # a foreign object, or a whole number of more digits than Python prints
        text = f"a {type(value).__name__}"
    text = printable(text)
    return text if len(text) <= length else f"{text[:length]}..."
