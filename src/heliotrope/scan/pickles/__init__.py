"""The pickle machine: what a stream would import, call and build, found without doing it."""
