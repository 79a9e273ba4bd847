"""Images in: where they come from, what training does to them, batches."""
