"""Decoder heads: from a latent action to one robot's action chunk."""
