"""What is used unless the user says otherwise; one place for Python and the shell."""

__all__ = ["ALGORITHM", "BUDGET", "ENGINES", "FILL", "POPULATION", "PRECISIONS", "SEGMENTS"]

SEGMENTS = "slic:n_segments=50"
FILL = "mean"
ALGORITHM = "eaSurrogate"

POPULATION = 40
"""Individuals."""

BUDGET = 400
"""Model calls of one explanation, where no budget, seconds or patience is given."""

ENGINES, PRECISIONS = ("auto", "torch", "onnx", "openvino"), ("auto", "fp32", "bf16")
"""What a search may ask for; here, so that the shell knows them before anything is loaded."""
