"""What remote kernels cost, measured against what they stand in for."""
