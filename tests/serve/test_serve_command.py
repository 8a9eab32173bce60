"""The command: it says where it is, listens where it was told, and ends after what runs."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from helpers.commands import ENVIRONMENT, started
from helpers.serving import IMAGES, events
from helpers.tiny import call_main, tiny_folder
from spatialspec.serve.server import loopback


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("command") / "tiny")


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_it_finishes_what_it_took(folder: Path, stop: signal.Signals, code: int) -> None:
    """Six images, one after the other, and a plain request: the signal comes when the first image is done."""
    with started(folder, "--max-batch", "1") as (process, url):
        addresses = {c.laddr.ip for c in psutil.Process(process.pid).net_connections() if c.status == "LISTEN"}
        assert addresses == {"127.0.0.1"} and url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/ready", trust_env=False).json() == {"status": "ready"}
        body = {"prompt": "a cat", "method": "ar", "n": 6, "seed": 1, "stream": True}
        with httpx.stream("POST", url + IMAGES, json=body, timeout=60, trust_env=False) as answer:
            news = events(answer)
            assert next(news)["index"] == 0
            process.send_signal(stop)
            assert [event["index"] for event in news] == [1, 2, 3, 4, 5]
        assert process.wait(60) == code
        assert process.stderr is not None and process.stderr.read() == ("" if code == 0 else "interrupted\n")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/ready", trust_env=False)


def test_a_key_from_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("open-sesame\n")
    with started(folder, "--api-key-file", str(tmp_path / "key")) as (_, url):
        for key, status in (("open-sesame", 200), ("open-sesame2", 401)):
            answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-batch", "0"], "--max-batch 0, expected 1 to 4096"),
        (["--max-queue", "-1"], "--max-queue -1"),
        (["--port", "70000"], "--port 70000"),
        (["--max-seconds", "nan"], "--max-seconds nan"),
        (["--host", "no.such.host.invalid"], "expected an address of this machine that is free"),
        (["--host", "192.0.2.1"], "expected an address of this machine that is free"),
        (["--api-key-file", "none"], "no file none"),
        (["--api-key-file", "empty"], "no key in it"),
        (["--api-key-file", "two"], "no key in it"),
        (["--model", "none"], "expected a name"),
        (["--replicas", "0"], "--replicas '0', expected N or LEAST..MOST, from 1"),
        (["--replicas", "3..2"], "--replicas '3..2', expected N or LEAST..MOST, from 1"),
    ],
)
def test_bad_options(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "two").write_text("two words")
    code, out, error = call_main(capsys, "serve", *options)
    assert (code, out) == (2, "") and message in error and error.count("\n") == 1


def test_a_port_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, _, error = call_main(capsys, "serve", "--model", folder, "--port", other.getsockname()[1])
    assert code == 2 and "Address already in use" in error


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.7", False), ("localhost.example.org", False)],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert loopback(host) == expected


def test_who_listens_beyond_this_machine_is_told(folder: Path) -> None:
    """Only where asked, and with a note if there is no key."""
    words = [sys.executable, "-m", "spatialspec", "serve", "--model", str(folder), "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    note, ready = process.stdout.readline(), process.stdout.readline()
    process.terminate()
    process.communicate()
    assert note == "note: no --api-key-file: whoever reaches this address can draw\n"
    assert "at http://0.0.0.0:" in ready and process.returncode == 0
