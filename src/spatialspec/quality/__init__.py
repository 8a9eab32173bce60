"""Image quality: `spatialspec evaluate`."""
