"""ROS 2 nodes, message conversion, the graph and the command line."""
