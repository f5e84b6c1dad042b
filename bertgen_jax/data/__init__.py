"""Texts and their references in, batches of token ids out."""
