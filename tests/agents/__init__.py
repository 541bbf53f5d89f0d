"""Agents: what they may do in a run, what they call, and what it costs."""
