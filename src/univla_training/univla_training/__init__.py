"""Training of latent action models, policies and decoders."""
