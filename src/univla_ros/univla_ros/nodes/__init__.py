"""The nodes of the graph; each subscribes, calls pure code and publishes."""
