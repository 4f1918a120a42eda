"""Who runs a scenario? One file, or one folder, a backend."""
