"""From a net and batches to a trained net: recipe, optimiser, strategy, loop, run folder."""
