"""Connects the processes of one run, and ends all of them when one is lost.

Every process calls the same collectives in the same order. Whatever only process 0 may
do, such as writing a file, goes through `on_process_0`, which also tells the others
when it failed.
"""

import collections
import contextlib
import faulthandler
import functools
import json
import logging
import os
import secrets
import selectors
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax._src import distributed  # the only source of the coordinator's address
from jax.experimental import multihost_utils

from bertgen_jax import errors

LOST = 3  # exit status of a process that ends because another is lost

_NOTICE_S = 1.0  # wait for the news that another process has ended
_GRACE_S = 5.0  # wait before an exception counts as this process's own
_DEAF_S = 30.0  # process 0 waits no longer than this for the others to end
_CONNECTION_S = 60.0  # until processes that start together are connected
_SILENCE_S = 30  # after which the system takes a host that does not answer for lost

T = TypeVar("T")

_log = logging.getLogger(__name__)


def on_process_0(action: Callable[[], T]) -> T:
    """Runs `action` on process 0 and returns its result, a JSON value, on all.

    An error of process 0 is raised on all processes, so that none waits for another
    that has stopped. Every process must call this.

    Raises:
      BertgenError: the error of process 0, with the same class and message; for any
        other error of process 0, a TrainingError on the other processes.
    """
    if jax.process_count() == 1:
        return action()
    result, error = None, None
    if jax.process_index() == 0:
        try:
            result = action()
        except Exception as caught:  # raised below, after the others are told
            error = caught
    name, message = (type(error).__name__, str(error)) if error else ("", "")
    name, message, result = _from_process_0([name, message, result])
    if error is not None:
        raise error
    if name:
        error_class = getattr(errors, name, None)
        if error_class is None:
            raise errors.TrainingError(f"process 0 failed with {name}: {message}")
        raise error_class(message)
    return result


def gather(value: Any) -> list[Any]:
    """Returns the JSON values of all processes, which must all call this, in order."""
    if jax.process_count() == 1:
        return [value]
    data = json.dumps(value).encode()
    longest = int(np.max(multihost_utils.process_allgather(np.int32(len(data)))))
    rows = multihost_utils.process_allgather(_padded(data, longest))
    return [json.loads(row.tobytes().rstrip(b"\0")) for row in np.asarray(rows)]


def _from_process_0(value: Any) -> Any:
    """Returns the JSON value that process 0 passes."""
    data = json.dumps(value).encode()
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
    padded = _padded(data if jax.process_index() == 0 else b"", size)
    return json.loads(multihost_utils.broadcast_one_to_all(padded)[:size].tobytes())


def _padded(data: bytes, size: int) -> np.ndarray:
    """Returns bytes and zeros, u8[N], for at least `size` bytes."""
    padded = np.zeros(-(-size // 1024) * 1024, np.uint8)  # few sizes: few compilations
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    return padded


def connect(*, may_be_alone: bool = False) -> None:
    """Connects this process with the others of the run, and watches them.

    SLURM, Open MPI, Kubernetes and TPU pods tell jax which processes there are. When a
    process is lost or ends with an error, the others print one sentence that names it
    and end with the status `LOST`.

    Args:
      may_be_alone: go on as a single process, with a log line, if jax finds no others.

    Raises:
      ConfigError: jax does not find the other processes.
    """
    try:
        jax.distributed.initialize()
    except (ValueError, KeyError) as error:  # nothing, or a part of SLURM's variables
        if may_be_alone:
            _log.info("config.multihost is True, but there is only this process")
            return
        raise errors.ConfigError(
            f"config.multihost is True, and jax finds no other processes: {error} "
            "Expected a launch by SLURM, Open MPI, Kubernetes or on a TPU pod."
        ) from error
    if jax.process_count() > 1:
        _Watch.start()


def close() -> None:
    """Tells the other processes that this one ends in order."""
    if _Watch.current is not None:
        _Watch.current.say({"end": "in order"})
        _Watch.current = None


def print_stacks() -> None:
    """Prints the stacks of all threads of this process."""
    # 2 is the file of stderr; `sys.stderr` of a notebook has none.
    faulthandler.dump_traceback(2, all_threads=True)


def leave(status: int, reason: str, *, show_stacks: bool = False) -> int:
    """Ends this process, and tells the others why, if there are others.

    The others are told first, because they may be waiting for this process. Process 0
    then waits until they have ended, at most `_DEAF_S`, because its end makes jax abort
    those that still run.

    Args:
      status: the exit status.
      reason: completes the sentence "process 1 on node7 ...".
      show_stacks: whether the others print the stacks of their threads before they end,
        because this process may have waited for one of them.

    Returns:
      `status`, if this process is the only one.
    """
    if _Watch.current is not None:
        _Watch.current.leave(status, reason, show_stacks=show_stacks)
    return status


def give_way(reason: str) -> None:
    """Ends this process if another one has already ended for a different reason.

    The error of this process is then only a consequence, as when a save fails because a
    process is missing, so it is not reported. Waits `_NOTICE_S` for the news first.

    Args:
      reason: why this process would end, as for `leave`.
    """
    if _Watch.current is not None:
        time.sleep(_NOTICE_S)
        _Watch.current.give_way(reason)


def fail() -> None:
    """Ends this process because of the exception being handled, if there are others.

    With a sentence that names a lost process, if there is one, and with the traceback
    otherwise.
    """
    if _Watch.current is not None:
        time.sleep(_GRACE_S)  # within which a loss is noticed
        traceback.print_exc()
        leave(1, "ended with an error, which its log shows")


class _Watch:
    """Connections between process 0 and each other one, read in a thread.

    The system closes the connections of a process that ends, for whatever reason.
    """

    current: "_Watch | None" = None

    def __init__(self, connections: dict[socket.socket, str]):
        self._connections = connections  # to the name of the process at the other end
        self._leaving = threading.Lock()  # held by the thread that ends the process
        self._heard = ""  # how another process ended, unless in order
        threading.Thread(target=self._read, name="process-watch", daemon=True).start()
        threading.excepthook = functools.partial(_report, threading.excepthook)

    @classmethod
    def start(cls) -> None:
        """Connects every process with process 0.

        Raises:
          ConfigError: a connection cannot be made.
        """
        server = _new_server() if jax.process_index() == 0 else None
        port, secret, name = _from_process_0(
            [
                server.getsockname()[1] if server else 0,
                secrets.token_hex(),
                f"process 0 on {socket.gethostname()}",
            ]
        )
        connections = {}
        try:
            if server is None:
                connections[_connected_to_process_0(port, secret)] = name
            else:
                with server:
                    server.settimeout(_CONNECTION_S)
                    while len(connections) < jax.process_count() - 1:
                        connection = server.accept()[0]
                        if client := _accepted(connection, secret):
                            connections[connection] = client
        except OSError as error:
            raise errors.ConfigError(
                f"process {jax.process_index()} is not connected to the others: "
                f"{error}. Expected that processes reach process 0 at any port, here "
                f"{port}; does a firewall stop them?"
            ) from error
        multihost_utils.sync_global_devices("watch")
        cls.current = cls(connections)

    def give_way(self, reason: str) -> None:
        """Ends this process because of another one; see the function `give_way`."""
        if self._heard and not self._heard.endswith(reason.rstrip(".")):
            self._end(self._heard)

    def say(self, message: dict[str, Any]) -> None:
        """Sends a message to the processes at the other ends."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(message).encode() + b"\n")

    def leave(self, status: int, reason: str, *, show_stacks: bool = False) -> NoReturn:
        """Ends this process after telling the others; see the function `leave`."""
        self._leaving.acquire()
        index = jax.process_index()
        what = f"process {index} on {socket.gethostname()} {reason}"
        self.say({"end": what, "show_stacks": show_stacks})
        self._exit(status)

    def _exit(self, status: int) -> NoReturn:
        sys.stdout.flush()
        sys.stderr.flush()
        if jax.process_index() == 0:  # its end makes jax abort those still running
            deadline = time.monotonic() + _DEAF_S
            for connection in self._connections:
                connection.settimeout(max(deadline - time.monotonic(), 0.01))
                with contextlib.suppress(OSError):
                    while connection.recv(1024):
                        pass
        # At a normal exit, jax's shutdown waits for all processes.
        os._exit(status)

    def _read(self) -> None:
        selector = selectors.DefaultSelector()
        received = collections.defaultdict(bytes)  # the beginnings of messages
        for connection in self._connections:
            connection.setblocking(True)
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    data = connection.recv(4096)
                except OSError:
                    data = b""
                name = self._connections[connection]
                if not data:
                    self._end(f"{name} was lost: it was killed, or its host failed")
                received[connection] += data
                line, end_of_line, _ = received[connection].partition(b"\n")
                if not end_of_line:
                    continue  # the rest is on its way
                message = json.loads(line)
                end = message["end"]
                if message.get("show_stacks"):
                    print_stacks()
                if end != "in order":
                    self._heard = end.rstrip(".")
                    time.sleep(_GRACE_S / 2)  # this process may have the same error
                    self._end(self._heard)
                selector.unregister(connection)

    def _end(self, what: str) -> None:
        """Ends this process because of what happened to another one."""
        self._leaving.acquire()  # for ever, if this process is leaving already
        _log.error(
            "%s. This process ends as well; everything saved before is intact, and the "
            "same command resumes the run.",
            what,
        )
        self.say({"end": what})
        self._exit(LOST)


def _new_server() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", 0), family=socket.AF_INET6, dualstack_ipv6=True
        )
    return socket.create_server(("", 0))


def _connected_to_process_0(port: int, secret: str) -> socket.socket:
    """Returns a connection on which this process has named itself."""
    coordinator = distributed.global_state.coordinator_address
    assert coordinator is not None  # after jax.distributed.initialize
    host = coordinator.rpartition(":")[0].strip("[]")
    connection = socket.create_connection((host, port), timeout=_CONNECTION_S)
    own_name = f"process {jax.process_index()} on {socket.gethostname()}"
    connection.sendall(f"{secret} {own_name}\n".encode())
    return _kept_alive(connection)


def _accepted(connection: socket.socket, secret: str) -> str:
    """Returns the name of the process that connects; "" for a stranger."""
    connection.settimeout(_GRACE_S)
    line = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        line = connection.makefile("rb").readline(1024).decode().strip()
    if not line.startswith(secret):
        connection.close()
        return ""
    _kept_alive(connection)
    return line.removeprefix(secret).strip()


def _kept_alive(connection: socket.socket) -> socket.socket:
    """Lets the system close a connection to a host that no longer answers."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _SILENCE_S // 3),
        ("TCP_KEEPINTVL", _SILENCE_S // 6),
        ("TCP_KEEPCNT", 4),
    ):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection


def _report(otherwise: Callable[..., Any], arguments: Any) -> None:
    """Reports an error of a thread, unless a lost process explains it."""
    if isinstance(arguments.exc_value, jax.errors.JaxRuntimeError):
        time.sleep(_GRACE_S)  # within which a loss is noticed
    otherwise(arguments)
