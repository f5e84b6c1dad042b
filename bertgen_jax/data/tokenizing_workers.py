"""Tokenizes parts of a corpus, in this process or in several."""

import contextlib
import logging
import multiprocessing
import os
import pathlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from bertgen_jax import errors
from bertgen_jax.data.tokenizing import ExampleEncoder

# Each process uses one core, so the libraries must not start threads of their own.
_ONE_THREAD = {
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# A worker is a new interpreter: a fork could deadlock on the locks of JAX's threads.
# The `multiprocessing` module would import the user's script in it. Without JAX it
# starts in a fraction of a second, and cannot take a device.
_START = (
    "import sys; from multiprocessing.connection import Connection; "
    "pipe = Connection(int(sys.argv[1])); sys.path[:] = pipe.recv(); "
    "sys.modules['jax'] = None; "
    "from bertgen_jax.data import tokenizing_workers; tokenizing_workers.serve(pipe)"
)

_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """A range of examples, and the file for their token ids."""

    begin: int
    end: int
    path: pathlib.Path

    def write(self, encoder: ExampleEncoder) -> None:
        """Tokenizes the examples and writes the file."""
        encoder.encode(self.begin, self.end).save(self.path)


def number_of_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def write_parts(
    encoder: ExampleEncoder, parts: Iterator[Part], workers: int
) -> Generator[Part, None, None]:
    """Writes the files of parts.

    Args:
      encoder: tokenizes examples. If it cannot be pickled, for example because it holds
        a user's own class, one process does all the work.
      parts: drawn one by one, when a process is idle.
      workers: the number of processes; with 1 no other process is started.

    Yields:
      Each part when its file is complete. Closing the generator ends the processes.

    Raises:
      BertgenError: an error of the encoder.
      DataError: a process was killed.
    """
    started = []
    with contextlib.ExitStack() as stack:
        if workers > 1:
            try:
                job = pickle.dumps(encoder)
                started = [
                    stack.enter_context(_Worker.started()) for _ in range(workers)
                ]
                for worker in started:
                    worker.send_encoder(job)
                for worker in started:
                    worker.check_ready()
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                _log.warning("Tokenizing in one process: %s", error)
                stack.close()
                started = []
        if not started:
            for part in parts:
                part.write(encoder)
                yield part
            return
        busy = [worker for worker in started if worker.give(next(parts, None))]
        while busy:
            pipes = {worker.pipe: worker for worker in busy}
            for pipe in wait(list(pipes)):
                worker = pipes[pipe]  # pyright: ignore[reportArgumentType]
                yield worker.result()
                if not worker.give(next(parts, None)):
                    busy.remove(worker)


class _Worker:
    """A process that tokenizes parts."""

    def __init__(self, process: subprocess.Popen, pipe: Connection):
        self.pipe = pipe
        self._process = process

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> Iterator["_Worker"]:
        """Starts a process, which ends with the block."""
        pipe, inner = multiprocessing.Pipe()
        with pipe:
            with inner:
                process = subprocess.Popen(
                    [sys.executable, "-c", _START, str(inner.fileno())],
                    env=os.environ | _ONE_THREAD,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[inner.fileno()],
                )
            try:
                pipe.send(sys.path)
                yield cls(process, pipe)
            finally:
                process.terminate()
                process.wait()

    def send_encoder(self, job: bytes) -> None:
        """Gives the process its encoder, pickled."""
        try:
            self.pipe.send_bytes(job)
        except OSError:
            raise self._lost() from None

    def check_ready(self) -> None:
        """Waits until the process has its encoder.

        Raises:
          PicklingError: the process cannot load it.
        """
        failure = self._receive()
        if failure is not None:
            raise pickle.PicklingError(failure)

    def give(self, part: Part | None) -> bool:
        """Gives the process a part to write; returns False if there is none."""
        if part is None:
            return False
        try:
            self.pipe.send(part)
        except OSError:
            raise self._lost() from None
        return True

    def result(self) -> Part:
        """Returns the part that is complete, or raises the error of the process."""
        result = self._receive()
        if isinstance(result, BaseException):
            raise result
        return result

    def _receive(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            raise self._lost() from None

    def _lost(self) -> errors.DataError:
        code = self._process.wait()
        how = (
            f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        )
        return errors.DataError(
            f"A process that tokenizes texts was ended {how}. SIGKILL often means that "
            "the memory is exhausted; fewer processes (data.workers) need less. Start "
            "again: texts that are tokenized already are kept."
        )


def serve(pipe: Connection) -> None:
    """Tokenizes the parts that arrive through a pipe, until it is closed."""
    # Ctrl-C reaches every process in the terminal; the one that started this decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            encoder: ExampleEncoder = pickle.loads(pipe.recv_bytes())
        except (
            ImportError,
            AttributeError,
            TypeError,
            pickle.UnpicklingError,
        ) as error:
            pipe.send(f"another process cannot load it: {error}")
            return
        pipe.send(None)
        while True:
            part: Part = pipe.recv()
            try:
                part.write(encoder)
            except Exception as error:  # raised again in the other process
                pipe.send(_picklable(error))
            else:
                pipe.send(part)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
