"""What is stored about one user, in all tables: its export and its deletion."""
