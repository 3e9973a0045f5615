"""What makes the site: `python -m docs.builder`."""
