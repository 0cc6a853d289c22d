"""Media types: values to bytes and back in each format, and the choice between formats."""
