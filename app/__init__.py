"""The HTTP service: encoded images in, class probabilities out."""

__version__ = "0.1.0"
