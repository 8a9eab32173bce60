"""Composed scenes: data, judge, scores."""
