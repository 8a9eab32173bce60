"""Exactness audit: every method against distributions that can be enumerated."""
