"""The parts of networks that come with srsearch."""
