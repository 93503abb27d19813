"""Measurements of the project against what most people would write, and against the machine."""
