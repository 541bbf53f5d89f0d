"""The local cloud: everything that Google runs around the functions, on one machine."""


class Refused(Exception):
    """It cannot start here; the message says why, and what to do about it."""
