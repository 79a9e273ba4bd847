"""One module per engine: the code that computes a step."""
