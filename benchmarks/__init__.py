"""What the package costs and what it gains, measured: `make bench` runs every benchmark here. Imports the package."""
