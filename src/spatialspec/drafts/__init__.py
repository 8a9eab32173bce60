"""Draft weights: folders, training for any target, cards."""
