"""Forges that tests own: doubles over real git, and one way of driving them that a real forge shares."""
