"""The passes of one image, as an HTML page."""
