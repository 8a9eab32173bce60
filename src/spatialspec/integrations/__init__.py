"""Doors into software that people already use."""
