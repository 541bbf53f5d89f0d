"""The floor: the same hops as plain functions, without storage, checks or tokens."""
