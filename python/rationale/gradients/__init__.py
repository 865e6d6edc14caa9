"""Heatmaps by gradients, and whatever else is not LRP: to compare with, and for the units."""
