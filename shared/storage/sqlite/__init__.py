"""The ports on one SQLite file each: the embedded backend."""
