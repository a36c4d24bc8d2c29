"""What makes pages of the documentation: `docs/parameters.md`, and the pages that `make docs` builds the site from."""
