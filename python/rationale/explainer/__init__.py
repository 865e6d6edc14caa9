"""The generator of sentences: what the heatmap says, in English (Hendricks et al. 2016)."""
