"""The command `spatialspec`. Nothing here imports torch before a command needs it.

Exit codes: 0 done, 1 a check failed, 2 bad input, with one line on stderr that says what was got, what was expected and
what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from spatialspec import __version__
from spatialspec.cli import (
    audit,
    bench,
    convert,
    doctor,
    draft,
    evaluate,
    generate,
    models,
    reproduce,
    scenes,
    show,
    train,
)
from spatialspec.core.errors import BadInput

INTERRUPTED = 130  # exit code

app = typer.Typer(
    name="spatialspec",
    help="Autoregressive text-to-image models in fewer passes: words in, pictures out, and what they cost.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("generate")(generate.generate)
app.command("bench")(bench.bench)
app.command("evaluate")(evaluate.evaluate)
app.command("audit")(audit.audit)
app.command("reproduce")(reproduce.reproduce)
app.command("show")(show.show)
app.command("doctor")(doctor.doctor)
app.command("models")(models.models)
app.command("convert")(convert.convert)
train.app.command("draft")(draft.draft)
train.app.command("scenes")(scenes.scenes)
train.app.command("scene-judge")(scenes.scene_judge)
app.add_typer(train.app, name="train")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spatialspec {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Autoregressive text-to-image models in fewer passes: words in, pictures out, and what they cost."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Args:
        arguments: words after the name of the program; None takes the program's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _no_empty_option(words)
        code = typer.main.get_command(app).main(words, prog_name="spatialspec", standalone_mode=False)
    except (ValueError, OSError, ImportError) as error:
        _complain(_reason(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):  # PyTorch's two ways
            _complain(
                "out of memory: draw fewer pictures at once (--num-images), a smaller --size, or use --dtype bf16"
            )
        if not hasattr(error, "format_message"):  # typer's and click's own errors have it; anything else is a bug
            raise
        _complain(_usage(error, words))
    if code == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _no_empty_option(words: Sequence[str]) -> None:
    """Refuse `--prompts ""`, which is what an unset variable of a shell leaves; no negative prompt is none, though.

    Raises:
        BadInput: there is one.
    """
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
        if option == "--":
            return
        given = not option.startswith("--") or "=" in option or not equals or value.strip()
        if not given and option != "--negative-prompt":
            raise BadInput(f"{option} ''", "a value", "leave the option out, or set the variable that it comes from")


def _usage(error: Any, arguments: list[str]) -> str:
    """Message of a usage error, with the value that was got where an option got a wrong one."""
    message = f"{error.format_message().rstrip('.')}: see --help"
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
            if here == option or here.startswith(f"{option}="):
                return f"got {here}{'' if '=' in here else f' {following}'}: {message}"
    return message


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _complain(message: str) -> NoReturn:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
