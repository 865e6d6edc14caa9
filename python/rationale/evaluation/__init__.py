"""Measures classifiers and explanations."""
