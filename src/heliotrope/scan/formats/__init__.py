"""One module for each format of file that is inspected, and those that are only recognised."""
