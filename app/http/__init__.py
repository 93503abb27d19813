"""Routes, response schemas, limits and the table from exception to status."""
