"""Stands for the package of this name, which the proxy imports for audio."""
