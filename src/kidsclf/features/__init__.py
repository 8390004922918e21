"""What networks read: colours and stretched stamps."""
