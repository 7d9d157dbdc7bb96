"""What the provider of provider.py is made of: one module a wire format, its bill, and what it says."""
