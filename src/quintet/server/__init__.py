"""The built-in server: HTTP/1.1 and WebSocket on uvloop and httptools."""
