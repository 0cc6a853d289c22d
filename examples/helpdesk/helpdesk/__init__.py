"""The helpdesk: its tables, its queries, and a router for each part of it."""
