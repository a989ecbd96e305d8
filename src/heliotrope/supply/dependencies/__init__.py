"""Reading what files and environments say of packages: one parser for each format. Nothing is imported, run or fetched."""
