"""Recorded episodes: rosbag2 folders, read on the clock of the policy."""
