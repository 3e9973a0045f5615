"""Published samplers, by kind; `samplers.catalogue` has them all."""
