"""The command line: thin, one function a command, one file a group."""

from rationale.cli import about, batch, captions, data, evaluate, explain, serve, train, units  # noqa: F401  add commands
from rationale.cli.app import main

__all__ = ["main"]
