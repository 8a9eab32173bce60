"""Words of the library as data: grid, distribution, noise, proposal, state, KV cache. Imports no other layer."""
