"""The commands: flags and printing."""
