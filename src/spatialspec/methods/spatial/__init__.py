"""Our method: refined window, memory of passes, tree at the front."""
