"""What a trained net is worth: its files opened, its answers counted."""
