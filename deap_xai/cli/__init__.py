"""The shell: parse and delegate. Nothing heavy is imported before a command runs."""

from deap_xai.cli import compare, demo, explain, names, report  # each adds its command to main
from deap_xai.cli.group import main

__all__ = ["compare", "demo", "explain", "main", "names", "report"]
