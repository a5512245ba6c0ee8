"""What keeps the package from working on this machine, and how to fix it."""
