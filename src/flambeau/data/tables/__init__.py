"""Tables: their files, their columns and what each of them is."""
