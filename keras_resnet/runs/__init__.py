"""Training, evaluation and export as Python calls, and the folder of a run."""
