"""Evaluators, which score designs."""
