"""What does one side of a port do? In a process of its own, since it is the user's code that runs."""
