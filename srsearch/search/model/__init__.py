"""What is believed about designs that were not trained."""
