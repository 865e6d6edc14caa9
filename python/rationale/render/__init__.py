"""Turns arrays and plain data into pictures and pages; knows nothing of networks or explanations."""
