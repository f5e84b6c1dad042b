"""Defines the models: linen modules that compute hidden states and logits."""
