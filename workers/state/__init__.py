"""State that workers share through Redis."""
