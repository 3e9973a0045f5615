"""Published samplers by kind; `samplers.catalogue` has all of them."""
