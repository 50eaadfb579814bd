"""What bench/curvature.py runs: its problem, its jobs, and the environment of the peers."""
