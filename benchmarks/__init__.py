"""Measures the costs and gains of the package: `make bench` runs every benchmark here. Imports the package."""
