"""Threads and memory: what a run may use."""
