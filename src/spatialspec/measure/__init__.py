"""What decoding costs, and how far a relaxed method is from AR."""
