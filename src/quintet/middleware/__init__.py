"""Middleware that ships with the kernel; one file per concern."""
