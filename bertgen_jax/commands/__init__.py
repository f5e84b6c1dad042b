"""The verbs of the command `bertgen`: their arguments, and what they print."""
