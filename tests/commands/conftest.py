"""Restores the process after commands, which tests run in their own process."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _restored_logging():
    """Removes the log handlers that a command installs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
