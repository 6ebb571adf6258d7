"""The connected systems: reading them within limits, and examining them."""
