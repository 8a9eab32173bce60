"""Cost of decoding, and distance of relaxed methods from AR."""
