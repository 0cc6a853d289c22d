"""Drivers: how a statement is run on a driver's own connection, one module for each family."""
