"""Composed scenes as a metric: what a caption asks for, and a judge of it."""
