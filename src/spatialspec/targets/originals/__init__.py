"""Checkpoints in their authors' own layout, turned into that of transformers."""
