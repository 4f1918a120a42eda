"""Many tries of what can go wrong, for as long as one likes; the short form of each stands in the suite."""
