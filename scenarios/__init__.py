"""What is there to run? One TOML file a scenario."""
