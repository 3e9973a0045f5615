"""Files: atomic writing, checkpoints, weights from elsewhere, ownership of folders. Does not depend on models."""
