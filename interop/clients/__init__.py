"""Clients of other HTTP/3 stacks, and what they check of a running Lorraine."""
