"""Mistakes as people make them, written by hand in framework code and never taken from the catalogue of changes."""
