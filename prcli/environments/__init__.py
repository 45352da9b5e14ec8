"""Small structures that hold an environment of a large one."""
