"""Drafters: guesses for cells not yet written. One file per published rule."""
