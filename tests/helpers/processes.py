"""Programs of several processes in tests: forked, so that nothing is imported twice."""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState, GradientState

FORK = mp.get_context("fork")


def start(function: Callable[..., Any], *arguments: Any) -> tuple[ForkProcess, Connection]:
    """Run `function(say, *arguments)` in a child; what it says comes through the pipe, last its result or error."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_child, args=(theirs, function, arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _child(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()

    def say(value: object) -> None:  # plain pickle: tensors travel by value, not in memory that ends with the child
        pipe.send_bytes(pickle.dumps(value))

    try:
        say(("result", function(say, *arguments)))
    except BaseException as error:
        say(("error", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))


def heard(pipe: Connection) -> Any:
    """The next thing that a child says."""
    assert pipe.poll(120), "the process is silent"
    return pickle.loads(pipe.recv_bytes())


def result(process: ForkProcess, pipe: Connection) -> Any:
    """Wait for the result; an error there is an error here."""
    while True:
        kind, value = heard(pipe)
        if kind in ("result", "error"):
            process.join(30)
            assert kind == "result", value
            return value


def ranks(count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Results of `function(rank, *arguments)` on processes that gloo connects, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [start(_rank, rank, count, port, function, arguments) for rank in range(count)]
    return [result(*one) for one in started]


def _rank(
    say: Callable[..., None], rank: int, count: int, port: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1",
    )  # fmt: skip
    try:
        return function(rank, *arguments)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
