"""The shell: parse and delegate. Nothing heavy is imported before a command runs."""

from deap_xai.cli import batch, demo, explain, names, summary  # each adds its command to main
from deap_xai.cli.group import main

__all__ = ["batch", "demo", "explain", "main", "names", "summary"]
