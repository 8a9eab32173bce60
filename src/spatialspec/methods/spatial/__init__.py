"""The method `spatial`: refined window, cache of earlier scores, tree at the front."""
