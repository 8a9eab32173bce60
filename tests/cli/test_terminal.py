"""What people see while they wait: on a terminal what is being done, tables that fit it; elsewhere nothing of it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from helpers.doctors import give_curve
from helpers.terminal import run_in_terminal, screen
from helpers.tiny import WORDS, call_main, tiny_folder, tiny_target
from spatialspec.cli import doctor as command
from spatialspec.cli.chart import chart
from spatialspec.cli.display import progress, say, table, waiting, wrapped
from spatialspec.cli.evaluate import COLUMNS
from spatialspec.doctor import doctor as examination
from spatialspec.doctor.report import Finding
from spatialspec.drafts.corpus import from_images
from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.measure.metrics import AGAINST_AR, COST, DISTANCE, columns

NUMBERS = (("cells", 12.0, "AR"), ("1", 40.0, ""), ("2", 0.0, "best"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


def make_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take stdout for a terminal of 100 columns."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")


def wide(name: str, shown: str = "-12.3456 [-23.4567, -1.2345]") -> list[tuple[str, object]]:
    return [("method", lambda row: row), *((f"{name} {i}", lambda row: shown) for i in range(9))]


@pytest.mark.parametrize("method", ["ar", "spatial:budget=64:tolerance=0.25", "x" * 150])
def test_a_table_fits_the_terminal(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_terminal(monkeypatch)
    lines = table(wide("figure"), ["ar", method]).splitlines()  # type: ignore[arg-type]
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("method") for line in lines) > 1, "every block says what its rows are"
    assert [name for line in lines for name in re.findall(r"figure \d", line)] == [f"figure {i}" for i in range(9)]
    for block in table(wide("figure"), [method]).split("\n\n"):  # type: ignore[arg-type]
        assert "".join(re.sub(r"  .*", "", line) for line in block.splitlines()[1:]) == method, "nothing is cut"


def test_a_narrow_table_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    make_terminal(monkeypatch)
    assert table(wide("f", "1.0")[:6], ["ar"]).count("\n") == 1  # type: ignore[arg-type]


def test_lines_are_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    make_terminal(monkeypatch)
    line = "    " + "word " * 60
    first, *more = wrapped(line, 3).splitlines()
    assert len(first) <= 100 and first.startswith("    word") and more
    assert all(part.startswith("       word") and len(part) <= 100 for part in more)
    assert wrapped("short") == "short"


def test_nothing_is_broken_or_shown_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    assert wrapped("word " * 60) == "word " * 60
    assert table(wide("figure"), ["x" * 99]).count("\n") == 1  # type: ignore[arg-type]
    with waiting("loading") as outer, progress(10) as report:
        report("ar", 3)
        outer.stage("more")
    assert capsys.readouterr() == ("", "")


def test_an_inner_line_gives_way_to_the_outer_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with waiting("outer"):
        with waiting("inner"):
            time.sleep(0.4)  # the outer one would be drawn in between
        say("a line for stdout")
        print("and one of other code")
    printed = capsys.readouterr()
    assert printed.out == "a line for stdout\nand one of other code\n", "never on stderr, whatever is shown there"
    shown = re.findall("outer|inner", printed.err)
    assert [name for name, _ in groupby(shown)] == ["outer", "inner", "outer"]


@pytest.mark.parametrize(("encoding", "bar", "axis"), [("utf-8", "█", "└"), ("ascii", "#", "+"), ("latin-1", "#", "+")])
def test_a_chart(encoding: str, bar: str, axis: str) -> None:
    text = chart(NUMBERS, "width", "ms", 80, encoding)
    text.encode(encoding)
    head, *rows, frame, numbers = text.splitlines()
    assert head == "width" and max(map(len, text.splitlines())) <= 80
    lengths = [row.count(bar) for row in rows]
    assert lengths[2] == 0 and lengths[0] == pytest.approx(0.3 * lengths[1], abs=1)
    assert rows[0].endswith("12 AR") and rows[2].endswith("0 best") and axis in frame
    assert numbers.split() == ["0", "10", "20", "30", "40", "ms"]
    assert numbers.index("40") == rows[1].rindex(bar), "the end of a bar stands over its number"


@pytest.mark.parametrize("value", [1e-5, 0.3, 7.0, 999.0, 123456.0])
def test_a_chart_of_any_size(value: float) -> None:
    lines = chart([("a", value, ""), ("b", value / 3, "")], "w", "s", 60, "utf-8").splitlines()
    assert max(map(len, lines)) <= 60 and 3 <= len(lines[-1].split()) <= 7


def test_findings_are_told_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each before the next check is made, those of `measure` too."""
    give_curve(monkeypatch)
    told: list[str] = []
    known: dict[str, list[str]] = {}
    for name in ("check_files", "load_target", "check_drafts", "draw_rows"):
        original = getattr(examination, name)

        def spy(*arguments: object, name: str = name, original=original) -> object:  # type: ignore[no-untyped-def]
            known.setdefault(name, list(told))
            return original(*arguments)

        monkeypatch.setattr(examination, name, spy)
    found = examination.examine(folder, "tiny", folder / "drafts", tell=lambda finding: told.append(finding.check))
    assert told == [finding.check for finding in found.findings]
    assert known["check_files"] == ["config"] and known["load_target"] == ["config", "files"]
    assert known["check_drafts"] == told[: told.index("drafts hawk")] and "codec" in known["check_drafts"]
    examination.measure(found, lambda what, cells: None)
    assert told == [finding.check for finding in found.findings] and "hawk: quality" in told
    assert known["draw_rows"][-1] == "drafts ssd"


def test_findings_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_terminal(monkeypatch)
    finding = Finding(check="codec", status="failed", got="7x7 " * 30, expected="8x8", advice="fetch it \x1b[31magain")
    command.tell(finding)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("\x1b[31m\x1b[1mfailed") and all(line.startswith(" " * 9) for line in lines[1:])
    assert r"\x1b[31magain" in lines[-1] and "\x1b" not in "".join(lines[1:]), "a file's text is no colour"
    assert all(len(re.sub("\x1b\\[[0-9]+m", "", line)) <= 100 for line in lines)


def test_every_column_of_bench_and_evaluate_is_a_block_at_most() -> None:
    for shown in (columns(COST, AGAINST_AR, DISTANCE), COLUMNS):
        assert all(len(name) < 20 for name, _ in shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "--methods", "ar,hawk,spatial:budget=7", "--limit", 1),
        ("evaluate", "--methods", "ar,ssd:rounds=0,hawk", "--limit", 2),
        ("doctor", "--size", "4x4"),
    ],
)
def test_commands_in_a_terminal_of_100_columns(folder: Path, tmp_path: Path, arguments: tuple[object, ...]) -> None:
    code, written = run_in_terminal([*arguments, "--model", folder], XDG_CACHE_HOME=str(tmp_path))
    left = screen(written)
    assert code == 0 and max(map(len, left)) <= 100
    assert not [line for line in left if " ..." in line or ("tokens" in line and "/" in line.split("tokens")[0][-3:])]
    assert "loading" in written and written.index("loading") < written.index("method")
    if arguments[0] == "evaluate":
        assert written.index("kernel distance, alignment and intervals") < written.index("PSNR to AR")


def test_reading_for_a_training_has_a_bar() -> None:
    shown: list[tuple[int, int]] = []

    @contextmanager
    def bar(total: int) -> Iterator[Callable[[str, int], None]]:
        done: list[int] = []
        yield lambda what, tokens: done.append(tokens)
        shown.append((total, sum(done)))

    pixels = np.zeros((6, 24, 24, 3), dtype=np.uint8)
    rows = [{"text": word, "split": "train"} for word in [*WORDS, "a dog"]]
    from_images(tiny_target(), CaptionedImages(pixels, rows), 0, None, 2, lambda line: None, bar)
    assert shown == [(6 * 36, 6 * 36)], "every token is counted once"


@pytest.mark.slow
def test_a_training_in_a_terminal(folder: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(WORDS))
    options = ["--target", folder, "--self-distil", prompts, "--out", tmp_path / "hawk", "--steps", 2, "--batch", 2]
    code, written = run_in_terminal(["train", "draft", *options])
    assert code == 0 and written.index("loading") < written.index("images to draw") < written.index("wrote")
    left = screen(written)
    assert not [line for line in left if " ..." in line or "drawing" in line]
    assert [line for line in left if "1/1 pieces" in line and "━" not in line], "a line of its own"


@pytest.mark.slow
def test_stopping_leaves_a_clean_terminal(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "images"
    arguments = ["evaluate", "--model", folder, "--methods", "ar", "--limit", 32, "--num-images", 8, "--out", out]
    code, written = run_in_terminal(arguments, stop_at=b"tokens")
    left = [line for line in screen(written) if line and not line.startswith("^C")]
    assert code == 130 and left[-1] == "interrupted" and str(out) in " ".join(left)
    assert written.endswith("\x1b[?25h") or written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "a cursor again"


def test_no_command_shows_more_in_a_pipe(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call_main(capsys, "generate", "a cat", "--model", folder, "--out", tmp_path / "a.png")
    assert (code, err) == (0, "")
