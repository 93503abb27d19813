"""Versions of models in a folder: published whole, found, promoted, removed."""
