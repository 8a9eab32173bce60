"""One image and how it came about, as a page."""
