"""The explanation generator: what the heatmap says, in English (Hendricks et al. 2016, "Generating visual explanations")."""
