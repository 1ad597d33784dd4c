"""MuJoCo bodies, tasks and scripted experts."""
