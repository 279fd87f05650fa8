"""A notebook server of a test's own, asked over HTTP."""
