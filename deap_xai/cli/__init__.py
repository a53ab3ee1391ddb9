"""The shell: parse and delegate. Nothing heavy is imported before a command runs."""

# Each adds its command to main.
from deap_xai.cli import app, batch, compare, demo, explain, names, report, summary
from deap_xai.cli.group import main

__all__ = ["app", "batch", "compare", "demo", "explain", "main", "names", "report", "summary"]
