"""What is used unless the user says otherwise; one place for Python and the shell."""

__all__ = ["ALGORITHM", "BUDGET", "FILL", "POPULATION", "SEGMENTS"]

SEGMENTS = "slic:n_segments=50"
FILL = "mean"
ALGORITHM = "eaSurrogate"

POPULATION = 40
"""Individuals."""

BUDGET = 400
"""Model calls of one explanation, where no budget, seconds or patience is given."""
