"""Measurements of a running gateway, each one command; README.md tells how to run and read them."""
