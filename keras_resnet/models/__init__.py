"""Residual networks: architectures, blocks, constructors and what can be done with a built model.

Depends on Keras and NumPy alone.
"""
