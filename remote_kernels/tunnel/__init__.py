"""The login end of a session: keep it alive over whatever carrier works."""
