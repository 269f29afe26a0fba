"""What scores a design."""
