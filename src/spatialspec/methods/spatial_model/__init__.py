"""The spatial draft model."""
