"""Labels from a table, and photos inside tables."""
