"""What a running app tells about itself."""
