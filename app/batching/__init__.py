"""A micro-batch queue in front of one engine, and what it knows of time."""
