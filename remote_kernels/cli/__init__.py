"""The door at which the shell comes in. The only place that prints."""
