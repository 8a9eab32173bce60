"""Simulation of methods from recorded passes."""
