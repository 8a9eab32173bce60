"""Verifiers: which drafted tokens stay. One file per rule."""
