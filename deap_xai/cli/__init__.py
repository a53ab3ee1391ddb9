"""The shell: parse and delegate. Nothing heavy is imported before a command runs."""

from deap_xai.cli import app, demo, explain, names  # each adds its command to main
from deap_xai.cli.group import main

__all__ = ["app", "demo", "explain", "main", "names"]
