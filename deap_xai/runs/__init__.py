"""Many images: a run that survives anything, spread over processes or a cluster; its summary."""

from deap_xai.runs.overview import Summary, summary
from deap_xai.runs.run import Tally, batch

__all__ = ["Summary", "Tally", "batch", "summary"]
