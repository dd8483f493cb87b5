"""What is stored about a user: bans, memberships and read markers."""
