"""What can be different in a training step: seeded as faults, and looked for as causes."""
