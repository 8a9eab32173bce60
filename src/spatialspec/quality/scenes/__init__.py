"""Composed scenes as a metric: scenes with captions, and a judge of them."""
