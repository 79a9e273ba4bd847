"""What is recorded of a finished run, for tests of records."""

SETTINGS = {
    "dataset": "digits",
    "train_split": "train",
    "validation_split": "test",
    "train_images": 1442,
    "validation_images": 355,
    "classes": ["0", "1"],
    "mirror": False,
    "mixed_precision": "none",
    "seed": 0,
}
ABOUT = {
    "command": "python train.py",
    "versions": {"keras": "3.15.1"},
    "data": {"dataset": "digits"},
    "preprocessing": {"channels": 1, "size": 8, "whole": True},
    "mean": "per-pixel",
}
RESULTS = {"accuracy": 0.5, "test_error": 0.5, "seconds": 1.5}
