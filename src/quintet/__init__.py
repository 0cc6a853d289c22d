"""Quintet: one Python web framework that does the work of five."""
