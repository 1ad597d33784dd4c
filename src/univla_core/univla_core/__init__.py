"""Observation, latent action, action chunk, embodiment, configuration: the shared vocabulary."""
