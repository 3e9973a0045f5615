"""Files: written whole, checkpoints, foreign weights, whose files a folder holds. Knows nothing of models."""
