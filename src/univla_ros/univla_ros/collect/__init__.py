"""Demonstrations by scripted experts, recorded as the running graph would be."""
