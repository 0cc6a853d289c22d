"""Routes: path templates, the table that finds them, groups, and reversing."""
