"""Models of design quality: predictions for designs that were not trained, or not to the end."""
