"""How to talk to a batch system."""
