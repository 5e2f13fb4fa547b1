"""Networks in other formats and libraries."""
