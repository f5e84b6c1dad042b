"""Commands run in the test's process, and leave it as it was."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _a_process_of_its_own():
    """What a command logs with, the next test does not."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
