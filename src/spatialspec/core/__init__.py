"""Data and protocols of the library: grid, sampling, noise, proposal, state, step. Imports no other part of it."""
