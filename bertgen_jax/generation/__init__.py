"""Models and search put together: from token ids or texts to generated texts."""
