"""Adapters between a server's interface and requests and responses; one file per protocol."""
