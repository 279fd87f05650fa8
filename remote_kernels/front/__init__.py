"""The ZMQ sockets that the notebook server sees."""
