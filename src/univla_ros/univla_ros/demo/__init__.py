"""`univla demo`: run the graph on simulated robots and show what happened."""
