"""One reader for each file format. None of them executes anything that a file contains."""
