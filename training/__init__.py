"""The offline package: from a folder of labelled images to a published bundle."""
