"""From a trained net to files that need nothing of this package: SavedModel, TFLite, and the model's card."""
