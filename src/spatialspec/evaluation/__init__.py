"""How good the pictures are: features, alignment with the prompt, figures."""
