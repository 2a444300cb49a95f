"""Pictures: folders, archives and arrays of them, their files, and what is wrong with them."""
