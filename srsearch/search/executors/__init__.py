"""Who runs evaluators."""
