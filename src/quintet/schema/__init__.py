"""Types: what they accept, what is wrong with an input, how texts convert, what an answer shows, their JSON Schema.

A type is read once (`describe.py`) into nodes (`nodes.py`); everything else is a function over the nodes. msgspec does
the work wherever it can. Names are imported from the modules that define them, so that nothing is loaded unasked.
"""
