"""The HTTP service: encoded images in, class probabilities out."""
