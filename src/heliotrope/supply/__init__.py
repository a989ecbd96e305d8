"""What a project is made of, and where it comes from."""
