"""What an agent calls: enqueue after a conversation, recall before the next."""
