"""A report, shown: on a terminal, and as a page. Nothing here measures."""
