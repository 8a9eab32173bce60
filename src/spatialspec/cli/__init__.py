"""The command `spatialspec`. Nothing here imports torch before a command needs it.

Exit codes: 0 done, 1 a check failed, 2 bad input. Bad input prints one line on stderr: the value, the expected values
and advice.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
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
    methods,
    models,
    prompts,
    reproduce,
    scenes,
    serve,
    show,
    train,
)
from spatialspec.cli.display import say
from spatialspec.core.errors import BadInput, printable, shown

INTERRUPTED = 130  # exit code
LONGEST = 1000  # characters of an error
NUMBERS: dict[Any, str] = {int: "a whole number", float: "a number"}
FOLDERS = {"model", "target", "draft", "data", "features", "clip", "scenes", "config"}  # texts that may be a path

app = typer.Typer(
    name="spatialspec",
    help="Speculative decoding for autoregressive text-to-image models: fewer passes per image.",
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
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.command("models")(models.models)
app.command("methods")(methods.methods)
app.command("convert")(convert.convert)
train.app.command("prompts")(prompts.prompts)
train.app.command("draft")(draft.draft)
train.app.command("scenes")(scenes.scenes)
train.app.command("scene-judge")(scenes.scene_judge)
app.add_typer(train.app, name="train")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"spatialspec {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Speculative decoding for autoregressive text-to-image models: fewer passes per image."""
    if context.invoked_subcommand is None:
        say(context.get_help())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code.

    Args:
        arguments: words after the name of the program; None takes those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # escapes characters that the terminal lacks
    logging.setLogRecordFactory(_record)
    warnings.formatwarning = _warning
    try:
        _no_empty_option(words)
        command = typer.main.get_command(app)
        _expand_homes(command)
        code = command.main(words, prog_name="spatialspec", standalone_mode=False)
    except (ValueError, OSError, ImportError) as error:
        _complain(_reason(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's and click's own errors have it
            _complain(_usage(error, words))
        _complain(_unforeseen(error))
    if code == INTERRUPTED:
        say("interrupted", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _expand_homes(command: Any) -> None:
    """Expand `~` to the home folder in every option that is a path: shells do not in `--out=~/a.png`."""
    for param in command.params:
        param.callback = param.callback or _with_home
    for inner in getattr(command, "commands", {}).values():
        _expand_homes(inner)


def _with_home(context: Any, param: Any, value: Any) -> Any:
    if isinstance(value, Path) or (isinstance(value, str) and param.name in FOLDERS):
        return type(value)(os.path.expanduser(value))
    return value


def _record(*values: Any, **named: Any) -> logging.LogRecord:
    """A log record without control characters: messages of libraries may quote files."""
    record = logging.LogRecord(*values, **named)
    record.msg, record.args = printable(record.getMessage()), ()
    return record


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as Python writes it, without control characters and without the code."""
    return f"{filename}:{lineno}: {category.__name__}: {printable(message)}\n"


def _no_empty_option(words: Sequence[str]) -> None:
    """Refuse empty options such as `--prompts ""`, the result of an unset shell variable.

    An empty `--negative-prompt` is accepted.

    Raises:
        BadInput: an option is empty.
    """
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
        if option == "--":
            return
        has_value = not option.startswith("--") or "=" in option or not equals or value.strip()
        if not has_value and option != "--negative-prompt":
            raise BadInput(f"{option} ''", "a value", "leave the option out, or set the variable that it comes from")


def _cut(word: str, most: int = 120) -> str:
    """A word of the command line, shortened for a message."""
    return word if len(word) <= most else f"{word[: most // 2]}..."


def _usage(error: Any, words: list[str]) -> str:
    """Message of a usage error, with the value of the option where that is wrong."""
    message = " ".join(map(_cut, f"{error.format_message().rstrip('.')}: see --help".split(" ")))
    param = getattr(error, "param", None)
    kind = NUMBERS.get(getattr(getattr(param, "type_descriptor", None), "annotation", None))
    for option in getattr(param, "opts", ()):
        for here, following in zip(words, [*words[1:], ""], strict=True):
            if here == option or here.startswith(f"{option}="):
                value = here.partition("=")[2] if "=" in here else following
                return f"got {option} {shown(value)}" + (f", expected {kind}" if kind else f": {message}")
    command = getattr(getattr(error, "ctx", None), "command", None)
    if param is not None or command is None:
        return message
    known_options = [name for p in command.params if p.param_type_name == "option" for name in p.opts]
    if hasattr(error, "option_name"):
        return _unknown("the option", error.option_name, [*known_options, "--help"])
    if commands := list(getattr(command, "commands", ())):
        known = {*error.ctx.command_path.split(), *commands}
        words = [word for word in words if not word.startswith("-") and word not in known]
        return _unknown("the command", words[0], commands) if words else message
    wanted = [str(p.name).upper() for p in command.params if p.param_type_name == "argument"]
    surplus = error.message.rpartition("(")[2].rstrip(").")
    expected = f"{' '.join(wanted) or 'no word'} and options only"
    return f"got the extra words {shown(surplus)}, expected {expected}: put text with blanks in quotes, see --help"


def _unknown(what: str, word: str, known: list[str]) -> str:
    """Message about an unknown word, with the closest known one."""
    near = get_close_matches(word[:100], known, 1, 0.7)
    advice = f"did you mean {near[0]}? see --help" if near else "see --help"
    return f"got {what} {shown(word)}, expected one of {', '.join(known)}: {advice}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _unforeseen(error: Exception) -> str:
    """Advice where memory ran out; every other error is a bug of this package, reported with its location."""
    if type(error).__name__ in ("OutOfMemoryError", "MemoryError") or "can't allocate memory" in str(error):
        return "out of memory: draw fewer images at once (--num-images), a smaller --size, or use --dtype bf16"
    package = Path(__file__).parents[1]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if package in Path(frame.filename).parents]
    where = "".join(f", {Path(frame.filename).relative_to(package)} line {frame.lineno}" for frame in frames[-1:])
    return f"a bug of spatialspec ({type(error).__name__}: {shown(str(error))}{where}): report it with this command"


def _complain(message: str) -> NoReturn:
    text = printable(" ".join(message.split()))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)
