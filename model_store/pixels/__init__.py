"""Encoded images to the pixels that every model sees."""
