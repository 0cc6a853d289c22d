"""Values of HTTP: what a request carries and what an answer is made of, free of any input or output."""
