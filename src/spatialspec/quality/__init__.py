"""Quality of images: `evaluate`."""
