"""What is installed: the rooms app, model_store and training, under one name."""
