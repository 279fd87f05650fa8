"""Ways to get a byte pipe to the agent."""
