"""Networks: backbones, heads, weights."""
