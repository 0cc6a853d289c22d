"""Type hints become a plan, and the plan one closure per route."""
