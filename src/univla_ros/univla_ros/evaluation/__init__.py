"""Success rates of policies in simulation, with confidence intervals: `univla eval`."""
