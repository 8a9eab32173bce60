"""The files in `deploy/`, as far as that goes without a container engine: what they name is there and runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml
from typer.main import get_command

from helpers.paths import ROOT
from helpers.serving import serving
from spatialspec.cli import app
from spatialspec.pipeline import SpatialPipeline

DEPLOY = ROOT / "deploy"
# One instruction a line, without comments and with continued lines joined.
LINES = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.M)).splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def instruction(name: str) -> str:
    """The last one of this name: that of the image, not of its build."""
    return [line.partition(" ")[2] for line in LINES if line.split(" ")[0] == name][-1]


def health() -> list[str]:
    return json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])


def parsed(words: list[str]) -> dict[str, Any]:
    """Options of `spatialspec` words, read as the command line reads them."""
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    return command.make_context(words[0], words[1:]).params


@pytest.mark.parametrize("words", [json.loads(instruction("CMD")), COMPOSE["services"]["server"]["command"]], ids=str)
def test_the_command_is_one_of_ours(words: list[str]) -> None:
    (entry,) = json.loads(instruction("ENTRYPOINT"))
    assert entry in PROJECT["scripts"]
    options = parsed(words)
    assert options["host"] == "0.0.0.0", "the engine forwards to no loopback"
    port = options["port"]
    assert instruction("EXPOSE") == str(port) and f"127.0.0.1:{port}/health" in health()[-1]
    published = [one for one in COMPOSE["services"]["server"]["ports"]]
    assert published == [f"127.0.0.1:{port}:{port}"], "on the host: the loopback only"


def test_the_build_finds_what_it_copies() -> None:
    """In the checkout, and behind .dockerignore."""
    shown = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in LINES:
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists() and any(fnmatch(name, pattern) for pattern in shown), name
    extra = next(line.partition("=")[2] for line in LINES if line.startswith("ARG EXTRA="))
    assert {extra, "ray"} <= PROJECT["optional-dependencies"].keys()
    build = COMPOSE["services"]["server"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Containerfile"


def test_nobody_is_root() -> None:
    user = instruction("USER")
    assert user.isdecimal() and int(user) > 0
    assert any(line.startswith("RUN useradd") and f"--uid {user} " in line for line in LINES)
    server = COMPOSE["services"]["server"]
    assert server["read_only"] and server["cap_drop"] == ["ALL"]
    (volume,) = server["volumes"]
    assert volume.partition(":")[2] == instruction("WORKDIR") and volume.partition(":")[0] in COMPOSE["volumes"]


def test_the_health_check_tells_a_server_that_runs(pipeline: SpatialPipeline) -> None:
    """Its own command, at another port: 0 while the server runs, something else when it has ended."""
    program, *words = health()
    assert program == "python"
    with serving(pipeline) as served:
        here = [word.replace("http://127.0.0.1:8000", served.url) for word in words]
        assert here != words
        assert subprocess.run([sys.executable, *here], capture_output=True).returncode == 0
    assert subprocess.run([sys.executable, *here], capture_output=True).returncode != 0


def test_prometheus_asks_the_server() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    ((target,),) = [one["targets"] for one in job["static_configs"]]
    name, _, port = target.partition(":")
    assert name in COMPOSE["services"] and port == instruction("EXPOSE") and job["metrics_path"] == "/metrics"
    watch = COMPOSE["services"]["prometheus"]
    assert watch["profiles"] == ["watch"] and watch["depends_on"] == {name: {"condition": "service_healthy"}}
    source, inside, mode = watch["volumes"][0].split(":")
    assert (DEPLOY / source).is_file() and inside == "/etc/prometheus/prometheus.yml" and mode == "ro"


def test_a_gpu_is_added_to_the_same_service() -> None:
    more = yaml.safe_load((DEPLOY / "compose.cuda.yaml").read_text())["services"]
    assert more.keys() <= COMPOSE["services"].keys()
    (device,) = more["server"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
