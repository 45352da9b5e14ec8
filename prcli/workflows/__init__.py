"""One module per command: the use case, callable from Python."""
