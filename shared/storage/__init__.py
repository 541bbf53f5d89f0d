"""The two ports, store and bus, and their adapters; nothing here knows what a task is."""
