"""How the embedded model and its drafts are made; `spatialspec train`."""
