"""Targets: frozen AR models behind one interface."""
