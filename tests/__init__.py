"""The proof: what the design promises, shown against the real thing."""
