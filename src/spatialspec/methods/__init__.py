"""Decoding methods, one file per published method."""
