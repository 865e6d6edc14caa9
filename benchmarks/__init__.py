"""The peers, side by side with us, in one process run."""
