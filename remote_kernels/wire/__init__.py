"""The protocol between tunnel and agent, sans-IO: bytes in, events out."""
