"""Many runs: what sets them apart, the one loop that trains them, and sweeps."""
