"""From an encoded image to pixels."""
