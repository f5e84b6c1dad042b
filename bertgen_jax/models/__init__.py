"""Pure linen modules: token ids in, hidden states and logits out."""
