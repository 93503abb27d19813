"""Labelled images: read, checked, split, cached."""
