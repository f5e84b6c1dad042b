"""Tokenizers: text in, token ids out, and back."""
