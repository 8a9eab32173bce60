"""LlamaGen."""
