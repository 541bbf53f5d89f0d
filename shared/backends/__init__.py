"""Adapters: each implements a port of `shared`, and is named in `shared.services` alone."""
