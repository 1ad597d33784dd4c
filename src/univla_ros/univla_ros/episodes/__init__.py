"""Recorded episodes on the command line: look at them, sort them out, export them."""
