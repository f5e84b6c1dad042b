"""Search over a step function: logits in, token ids out, and no model in sight."""
