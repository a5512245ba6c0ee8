"""One way to write a table, JSON and a page."""
