"""Pictures of samples, and HTML report pages."""
