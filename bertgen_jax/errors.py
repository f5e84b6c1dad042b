"""The errors a user can cause. Each message says what was found, expected, and next.

Commands catch `BertgenError`, print its message as one paragraph and exit with status
2; any other exception is a bug and keeps its traceback.
"""


class BertgenError(Exception):
    """Base of every error that a user's files, flags or arguments can cause."""


class ConfigError(BertgenError, ValueError):
    """A configuration or an argument that cannot be meant."""


class DataError(BertgenError, ValueError):
    """A data file that is missing, malformed or empty."""


class TokenizerError(BertgenError, ValueError):
    """A tokenizer file that is missing, corrupt or of another kind."""


class CheckpointError(BertgenError, ValueError):
    """A checkpoint or work directory that is missing, damaged or of another run."""


class TrainingError(BertgenError, RuntimeError):
    """A run that must not go on, such as one whose loss is no longer finite."""
