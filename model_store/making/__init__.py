"""From a Keras model to the files of a bundle."""
