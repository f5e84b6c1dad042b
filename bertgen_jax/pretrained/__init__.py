"""Published models: loading, saving and conversion."""
