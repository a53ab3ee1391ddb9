"""Scores of a finished explanation: what the model says of it, and what others say of its kind.

Those that ask the model take an evaluator, whose archive and count of model calls grow; the others
read arrays alone.
"""

from deap_xai.archive import front_quality
from deap_xai.metrics.areas import deletion_auc, insertion_auc, nested
from deap_xai.metrics.enough import minimality, smallest_sufficient, sufficiency
from deap_xai.metrics.stability import jaccard, rank_correlation, stability
from deap_xai.metrics.truth import box_truth, overlap, pointing_game, rank_accuracy

__all__ = [
    "box_truth",
    "deletion_auc",
    "front_quality",
    "insertion_auc",
    "jaccard",
    "minimality",
    "nested",
    "overlap",
    "pointing_game",
    "rank_accuracy",
    "rank_correlation",
    "smallest_sufficient",
    "stability",
    "sufficiency",
]
