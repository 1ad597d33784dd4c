"""Recorded episodes again: through the policy, another decoder, or another body."""
