"""Callbacks that record a training: progress, history, curves, TensorBoard."""
