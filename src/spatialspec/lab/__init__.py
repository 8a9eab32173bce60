"""The papers' experiments and the recipe of the embedded model; needs the extra `[lab]`."""
