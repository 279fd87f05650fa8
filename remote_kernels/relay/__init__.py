"""The asyncio shell over wire/, the same at both ends."""
