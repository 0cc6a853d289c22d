"""Compiled queries: `@query` compiles a statement once for each database and runs it on the driver itself."""
