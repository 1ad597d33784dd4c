"""Record a running robot: what is heard, how complete it is, and how it reaches the disk."""
