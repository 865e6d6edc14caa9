"""The live page: a server that shows in a browser what a network sees, decides, and why. `rationale[web]`."""
