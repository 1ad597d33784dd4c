"""The latent-action policies and their checkpoints."""
